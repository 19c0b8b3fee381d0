#pragma once

#include <optional>

#include "plan/recipe_draft.h"

namespace plasticity {

/// A plan, and what it was made from: the heads that stay and the alignment that was decided for.
struct FittedPlan {
    PlanInputs inputs;
    HeadPruning heads;
    Recipe recipe;
};

/// Turns heads and start types into a recipe within the limit. Over it, types are demoted, then (where pruning is left
/// to the program) more heads go; below a file size that was asked for, types are promoted as far as it allows.
/// @throws Error (kInfeasible) with the smallest budget that would do
FittedPlan fit_plan(const PlanInputs& inputs, HeadPruning heads);
Recipe fit(const PlanInputs& inputs, HeadPruning heads);

/// Types anew, everything else as it is; nothing when none fit.
std::optional<Recipe> fit_types(const PlanInputs& inputs, const HeadPruning& heads);

}  // namespace plasticity
