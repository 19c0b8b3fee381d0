#pragma once

#include "plan/recipe_draft.h"

namespace plasticity {

/// Turns heads and start types into a recipe within the limit. Over it, types are demoted, then (where pruning is left
/// to the program) more heads go; below a file size that was asked for, types are promoted as far as it allows.
/// @throws Error (kInfeasible) with the smallest budget that would do
Recipe fit(const PlanInputs& inputs, HeadPruning heads);

}  // namespace plasticity
