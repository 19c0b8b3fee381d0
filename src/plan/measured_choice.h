#pragma once

#include <vector>

#include "plan/damage.h"
#include "plan/matrix_choice.h"

namespace plasticity {

/// Types that policy `optimal` weighs for rows of this length, none with fewer bits than `floor`: every one that stock
/// engines run and whose blocks divide the row, F16 where none does.
std::vector<ggml_type> types_for(std::int64_t row_length, ggml_type floor);

/// What has to be measured so that measured_choices can be made for any heads that stay, with whichever of the
/// dimensions padded.
std::vector<DamageQuestion> damage_questions(const Model& model, const PlanGoal& goal,
                                             const std::vector<PaddedDimensions>& dimensions = {});

/// Every matrix of the output, in the order of the model's tensors. The ladder holds the types that no other beats in
/// both bytes and damage; where heads go, a matrix' damage falls with its parameters.
std::vector<MatrixChoice> measured_choices(const Model& model, const HeadPruning& heads, const PlanGoal& goal,
                                           const DamageTable& damages, const Alignment& alignment = {});

}  // namespace plasticity
