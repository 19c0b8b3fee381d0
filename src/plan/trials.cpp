#include "plan/trials.h"

#include <fmt/format.h>

#include <algorithm>

#include "core/error.h"
#include "core/hash.h"
#include "core/memory.h"
#include "core/units.h"
#include "engine/tokenizer.h"
#include "io/corpus.h"
#include "io/file_identity.h"
#include "plan/calibration.h"
#include "plan/refine.h"
#include "plan/trial_log.h"
#include "plan/trial_model.h"

namespace plasticity {
namespace {

constexpr std::int32_t kContext = 512;
constexpr std::int64_t kCalibrationTokens = 1024, kRefinementTokens = 4096;
constexpr std::uint64_t kMostCacheBytes = std::uint64_t{8} << 30;

/// Chunks as evaluation cuts them; a refinement has one half to judge by and one to confirm by.
EvaluationText trial_text(const Model& model, const TrialRequest& request) {
    const std::int64_t tokens = request.tokens > 0  ? request.tokens
                                : request.refines() ? kRefinementTokens
                                                    : kCalibrationTokens;
    const std::int64_t n_least = request.refines() ? 2 : 1;
    const auto context = static_cast<std::int32_t>(
        std::min<std::int64_t>({kContext, model.architecture().context_length, tokens / n_least}));
    EvaluationText text =
        prepare_evaluation(Tokenizer(model.tokenizer()), read_plain_text(request.data), context,
                           static_cast<std::int32_t>(std::max(tokens / std::max(context, 1), n_least)));
    if (text.n_chunks < n_least)
        throw Error(ErrorKind::kUsage,
                    fmt::format("plan: the calibration text has {} tokens; expected at least {}, half to refine by and "
                                "half to confirm by. Give more text, or fewer --calibration-tokens",
                                text.tokens.size(), n_least * context));
    if (request.refines())
        text.unscored = std::max(context / 8, 1);  // nearly all positions count: differences are small
    return text;
}

/// @returns what may be spent on keeping replacements
std::uint64_t require_memory(const FittedPlan& planned, const EvaluationText& text, Progress& progress) {
    const std::uint64_t needed = trial_bytes(planned.inputs.model, text, true);
    const auto available = available_memory_bytes();
    if (!available) {
        progress.note(fmt::format("trials take about {} of memory", format_bytes(needed)));
        return needed / 2;
    }
    progress.note(fmt::format("trials take about {} of memory; {} are available", format_bytes(needed),
                              format_bytes(*available)));
    if (needed > *available)
        throw Error(ErrorKind::kInfeasible,
                    fmt::format("plan: trials of this model take {} of memory; {} are available. Close other programs, "
                                "or plan without --calibrate and --refine",
                                format_bytes(needed), format_bytes(*available)));
    return std::min(kMostCacheBytes, (*available - needed) / 2);
}

/// Everything that outcomes depend on.
std::string log_key(const FittedPlan& planned, const EvaluationText& text) {
    Sha256 tokens;
    tokens.update(std::as_bytes(std::span(text.tokens)));
    return fmt::format("trials {} {} {} {} {}\n{}{}", text.context, text.n_chunks, text.first_scored(), tokens.finish(),
                       program_identity(), recipe_to_json(planned.recipe), source_identity(planned.inputs.model));
}

TrialLog open_log(const FittedPlan& planned, const EvaluationText& text, const TrialRequest& request,
                  Progress& progress) {
    TrialLog log(request.refines() ? request.checkpoint : std::nullopt, log_key(planned, text));
    if (!request.resume) return log;
    if (log.load())
        progress.note(fmt::format("continues after {} trials", log.outcomes().size()));
    else if (request.checkpoint && std::filesystem::exists(*request.checkpoint))
        progress.note(fmt::format("begins anew: {} is of another run", request.checkpoint->string()));
    return log;
}

/// On all of the text, or where it is for a refinement, too, on no more than a calibration alone would take.
Calibration calibration_of(TrialModel& trial, const FittedPlan& planned, TrialLog& log, const TrialRequest& request,
                           Progress& progress) {
    if (log.calibration()) return *log.calibration();
    const std::int32_t n_chunks = request.refines()
                                      ? std::clamp<std::int32_t>(kCalibrationTokens / kContext, 1, trial.n_chunks() / 2)
                                      : trial.n_chunks();
    const Calibration calibration = calibrate(
        trial, n_chunks, uniform_corners(planned.inputs.model, planned.inputs.damage->types), planned.recipe, progress);
    log.set_calibration(calibration);
    return calibration;
}

std::string outcome_text(const Refinement& record) {
    return fmt::format("refinement: {} of {} trials gained; KL on the text that confirms {:.4g} → {:.4g} ± {:.2g}{}",
                       record.changes.size(), record.trials, record.kl_before, record.kl_after, record.standard_error,
                       record.kept ? "" : ": no gain beyond the error, so the plan stays as it was");
}

/// The plan with all that was found in its text; as it was where no types fit together with that.
Recipe with_findings(const FittedPlan& planned, const TrialFindings& findings, Progress& progress) {
    PlanInputs inputs = planned.inputs;
    inputs.findings = &findings;
    if (std::optional<Recipe> recipe = fit_types(inputs, planned.heads)) return *recipe;
    progress.note("nothing fits together with what trials found in the recipe: left out");
    return planned.recipe;
}

}  // namespace

void require_trials_possible(const PlanOptions& options, const Model& model, const PlanGoal& goal) {
    const TrialRequest& request = options.trials;
    const auto refuse = [](const char* what) { throw Error(ErrorKind::kUsage, what); };
    if (!request.any()) {
        if (!request.data.empty()) refuse("plan: --data without --calibrate or --refine; expected one of them");
        return;
    }
    if (request.data.empty())
        refuse(
            "plan: --calibrate and --refine without --data; expected calibration text, other than what the result is "
            "to be measured on");
    if (goal.policy == Policy::kTiers)
        refuse("plan: --calibrate and --refine with --policy tiers, which predicts no divergence; expected optimal");
    if (options.gram)
        refuse(
            "plan: --calibrate and --refine with --gram; trials round without error feedback. Leave one of them out");
    if (model.architecture().experts.count > 0)
        refuse("plan: --calibrate and --refine of a mixture of experts, which this program does not run; plan without");
}

Recipe try_plan(const FittedPlan& planned, const Statistics& statistics, const PlanOptions& options,
                Progress& progress) {
    const TrialRequest& request = options.trials;
    const EvaluationText text = trial_text(planned.inputs.model, request);
    const std::uint64_t cache_bytes = require_memory(planned, text, progress);
    TrialModel trial(planned.inputs.model, statistics, text, {.cache_bytes = cache_bytes, .threads = options.threads},
                     progress);
    TrialLog log = open_log(planned, text, request, progress);
    TrialFindings findings;
    findings.calibration = calibration_of(trial, planned, log, request, progress);
    if (request.refines()) {
        FittedPlan start = planned;
        start.inputs.findings = &findings;
        const Refined refined =
            refine(trial, start, log, {60 * request.refine_minutes, request.refine_trials}, progress);
        progress.note(outcome_text(refined.record));
        findings.weights = refined.weights;
        findings.refinement = refined.record;
        if (refined.record.kept) add_corner(*findings.calibration, trial, "the refined plan", refined.recipe);
    }
    return with_findings(planned, findings, progress);
}

}  // namespace plasticity
