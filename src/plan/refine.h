#pragma once

#include <cstdint>
#include <map>
#include <string>

#include "core/progress.h"
#include "plan/fit.h"
#include "plan/trial_log.h"
#include "plan/trial_model.h"

namespace plasticity {

struct RefineOptions {
    double seconds = 0;           ///< when to stop; 0: by trials alone
    std::int64_t max_trials = 0;  ///< 0: by time alone
};

/// What is to be taken into account when the plan is made anew.
struct Refined {
    std::map<std::string, double> weights;  ///< empty where no change was confirmed
    Recipe recipe;                          ///< with them
    Refinement record;
};

/// A mean that falls by more than so many of its standard errors. @param difference  of paired values
bool falls(const Divergence& difference, double n_errors);

/// Tries proposals (plan/proposals.h) on the first half of the trial's chunks, one after the other, each against the
/// plan as it is by then, and keeps those whose divergence falls by more than two standard errors of the difference
/// over the same positions (with one error, what SmolLM2 gained in 36 trials was lost again on other text); a trial
/// ends with the chunk after which it is no gain any more. What came out of it must then fall against the plan that it
/// began with on the other half, by more than one standard error; otherwise that one stays. Outcomes in the log are
/// believed; the same outcomes give the same recipe.
/// @param start  its inputs.findings must hold what is found so far
/// @throws Error (kMalformed, kIo), Interrupted
Refined refine(TrialModel& trial, const FittedPlan& start, TrialLog& log, const RefineOptions& options,
               Progress& progress);

}  // namespace plasticity
