#pragma once

#include "artifact/statistics.h"
#include "core/progress.h"
#include "plan/fit.h"
#include "plan/request.h"
#include "plasticity/plan.h"

namespace plasticity {

/// @throws Error (kUsage) where trials are asked for without text or the other way round, without policy optimal, of a
///         model that the engine does not run, or with Gram matrices, whose error feedback trials do without
void require_trials_possible(const PlanOptions& options, const Model& model, const PlanGoal& goal);

/// What trials make of a plan: predictedKl from plans that were measured, with its error, and where refinement is asked
/// for the plan that it ends with. Says beforehand what memory it takes.
/// @throws Error (kUsage: text shorter than one chunk; kInfeasible: not enough memory; kMalformed, kIo), Interrupted
Recipe try_plan(const FittedPlan& planned, const Statistics& statistics, const PlanOptions& options,
                Progress& progress);

}  // namespace plasticity
