#include "plan/refine.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <optional>
#include <set>

#include "core/clock.h"
#include "plan/proposals.h"

namespace plasticity {
namespace {

/// Of dozens of trials that change nothing, a sixth would seem to gain by one standard error.
constexpr double kErrorsOfAGain = 2, kErrorsOfConfirmation = 1;

std::vector<double> difference(const std::vector<double>& of, const std::vector<double>& from) {
    std::vector<double> result;
    for (std::size_t i = 0; i < of.size(); ++i) result.push_back(of[i] - from[i]);
    return result;
}

class Refiner {
public:
    Refiner(TrialModel& trial, const FittedPlan& start, TrialLog& log, const RefineOptions& options, Progress& progress)
        : trial_(trial),
          start_(start),
          log_(log),
          options_(options),
          progress_(progress),
          findings_(*start.inputs.findings),
          inputs_(start.inputs),
          current_(start.recipe),
          n_judging_(std::max(trial.n_chunks() / 2, 1)) {
        inputs_.findings = &findings_;
    }

    Refined run() {
        begin_progress();
        tried_.insert(types_text(current_, start_.inputs.model));
        std::vector<Proposal> proposals = propose(inputs_, start_.heads, current_);
        while (has_time()) {
            const auto next = std::ranges::find_if(proposals, [&](const Proposal& proposal) {
                return tried_.insert(types_text(proposal.recipe, start_.inputs.model)).second;
            });
            if (next == proposals.end()) break;
            const TrialOutcome outcome = outcome_of(*next);
            advance(outcome);
            if (!outcome.accepted) continue;
            record_.changes.push_back({outcome.change, outcome.difference, outcome.standard_error});
            current_ = std::move(next->recipe);
            findings_.weights = std::move(next->weights);
            proposals = propose(inputs_, start_.heads, current_);
        }
        progress_.end();
        return confirmed();
    }

private:
    void begin_progress() {
        if (options_.max_trials > 0)
            progress_.begin("refine", static_cast<std::uint64_t>(options_.max_trials), "trials");
        else
            progress_.begin("refine", static_cast<std::uint64_t>(options_.seconds), "seconds");
    }

    void advance(const TrialOutcome& outcome) {
        ++record_.trials;
        const auto elapsed = static_cast<std::uint64_t>(elapsed_seconds());
        const std::uint64_t done = options_.max_trials > 0 ? 1 : elapsed - std::min(elapsed, reported_seconds_);
        reported_seconds_ = elapsed;
        progress_.advance(done, fmt::format("{}: {:+.2g} ± {:.1g}{}", outcome.change, outcome.difference,
                                            outcome.standard_error, outcome.accepted ? ", kept" : ""));
    }

    double elapsed_seconds() const { return seconds_since(began_); }

    /// Whatever is left after another trial must do for the confirmation, which is two.
    bool has_time() const {
        if (options_.max_trials > 0 && record_.trials >= options_.max_trials) return false;
        return options_.seconds <= 0 || elapsed_seconds() + 3 * longest_trial_ < options_.seconds;
    }

    TrialOutcome outcome_of(const Proposal& proposal) {
        const auto at = static_cast<std::size_t>(record_.trials);
        if (at < log_.outcomes().size()) {
            if (log_.outcomes()[at].change == proposal.change) {
                if (log_.outcomes()[at].accepted) current_values_.clear();
                return log_.outcomes()[at];
            }
            log_.cut(at);
        }
        const TrialOutcome outcome = try_out(proposal);
        log_.add(outcome);
        return outcome;
    }

    std::vector<double> values(const Recipe& recipe, std::int32_t first, std::int32_t end) {
        trial_.set(recipe);
        return trial_.divergence(first, end);
    }

    TrialOutcome try_out(const Proposal& proposal) {
        const auto began = Clock::now();
        if (current_values_.empty()) current_values_ = values(current_, 0, n_judging_);
        trial_.set(proposal.recipe);
        std::vector<double> tried;
        Divergence change;
        for (std::int32_t chunk = 0; chunk < n_judging_; ++chunk) {
            const std::vector<double> of_chunk = trial_.divergence(chunk);
            tried.insert(tried.end(), of_chunk.begin(), of_chunk.end());
            change = mean_divergence(difference(tried, current_values_));
            if (change.mean >= 0) break;
        }
        const bool accepted = tried.size() == current_values_.size() && falls(change, kErrorsOfAGain);
        if (accepted) current_values_ = std::move(tried);
        longest_trial_ = std::max(longest_trial_, seconds_since(began));
        return {proposal.change, accepted, change.mean, change.standard_error};
    }

    Refined confirmed() {
        record_.positions = trial_.chunk_positions() * n_judging_;
        const std::int32_t first = std::min(n_judging_, trial_.n_chunks() - 1);
        const std::vector<double> before = values(start_.recipe, first, trial_.n_chunks());
        const std::vector<double> after = values(current_, first, trial_.n_chunks());
        const Divergence change = mean_divergence(difference(after, before));
        record_.kl_before = mean_divergence(before).mean;
        record_.kl_after = mean_divergence(after).mean;
        record_.standard_error = change.standard_error;
        record_.kept = !record_.changes.empty() && falls(change, kErrorsOfConfirmation);
        if (!record_.kept) return {{}, start_.recipe, record_};
        return {findings_.weights, current_, record_};
    }

    TrialModel& trial_;
    const FittedPlan& start_;
    TrialLog& log_;
    const RefineOptions& options_;
    Progress& progress_;
    TrialFindings findings_;
    PlanInputs inputs_;
    Recipe current_;
    std::int32_t n_judging_;              ///< chunks that changes are judged on; the others confirm
    std::vector<double> current_values_;  ///< of current_ on them; empty: not measured yet
    std::set<std::string> tried_;
    Refinement record_;
    Clock::time_point began_ = Clock::now();
    double longest_trial_ = 0;
    std::uint64_t reported_seconds_ = 0;
};

}  // namespace

bool falls(const Divergence& difference, double n_errors) {
    return difference.mean < 0 && -difference.mean > n_errors * difference.standard_error;
}

Refined refine(TrialModel& trial, const FittedPlan& start, TrialLog& log, const RefineOptions& options,
               Progress& progress) {
    return Refiner(trial, start, log, options, progress).run();
}

}  // namespace plasticity
