#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "artifact/gate_gradients.h"
#include "artifact/recipe.h"
#include "plan/damage.h"
#include "plan/head_compensation.h"
#include "plan/head_pruning.h"
#include "plan/matrix_choice.h"
#include "plan/request.h"

namespace plasticity {

/// What policy `optimal` knows, in nats per token.
struct MeasuredDamage {
    DamageTable types;
    std::vector<std::vector<double>> heads;           ///< [layer][query head] of removing it
    bool with_error_feedback = false;                 ///< types were measured so
    std::vector<HeadCompensation> compensation = {};  ///< [layer]; empty: what goes is not made up for

    /// What heads and channels that go cost together, for each nat that they cost one by one: they depend on one
    /// another, also across blocks, and closing a gate is no small step. Qwen2.5-Coder, 34 and 68 heads of 336 gone:
    /// 0.5B 1.1 and 1.2, 1.5B 1.7 and 2.0; once the others have made up for them 1.9, 1.9, 1.8 and 2.0; more where more
    /// go.
    static constexpr double kTogether = 2;

    /// Of all heads and channels that `heads` has removed.
    double of_removed(const HeadPruning& heads) const;
    double of_removed(std::size_t layer, const LayerHeads& of_layer) const;
};

/// What trials found, and a plan then takes into account.
struct TrialFindings {
    std::map<std::string, double> weights;  ///< by GGUF name: a matrix' damage counts so many times as predicted
    std::optional<Calibration> calibration;
    std::optional<Refinement> refinement;
};

/// What a plan is made from.
struct PlanInputs {
    const Model& model;
    const GateGradients& scores;
    const PlanGoal& goal;
    const MeasuredDamage* damage = nullptr;   ///< nullptr: policy tiers
    std::string pruning;                      ///< what decided how many heads stay; may be empty
    PaddedDimensions padded = {};             ///< to whole wide blocks
    std::string alignment = {};               ///< what decided for or against that; may be empty
    const TrialFindings* findings = nullptr;  ///< nullptr: nothing was tried

    Alignment aligned(const HeadPruning& heads) const {
        return alignment_for(padded, heads.pruned(model.architecture()));
    }
    /// The same with other dimensions padded.
    PlanInputs with(const PaddedDimensions& dimensions) const {
        PlanInputs other = *this;
        other.padded = dimensions;
        return other;
    }
    std::vector<MatrixChoice> choices(const HeadPruning& heads) const;
};

/// Parameters of the output: every weight, vectors included, without padding.
std::int64_t output_parameters(const Model& model, const HeadPruning& heads);

/// The bound of this plan: the device's effective memory, the target size, or target bits times parameters.
std::uint64_t limit_bytes(const PlanInputs& inputs, const HeadPruning& heads);

/// Run-time memory and bytes by part, all but file_bytes.
Budget budget_of(const PlanInputs& inputs, const HeadPruning& heads, const std::vector<MatrixChoice>& choices);

/// The recipe that says what `heads` and `choices` hold, with reasons. budget.file_bytes is left 0.
Recipe draft_recipe(const PlanInputs& inputs, const HeadPruning& heads, const std::vector<MatrixChoice>& choices);

}  // namespace plasticity
