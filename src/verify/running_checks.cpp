#include "verify/running_checks.h"

#include <algorithm>
#include <cmath>
#include <memory>
#include <string>

#include "core/error.h"
#include "core/parallel.h"
#include "engine/evaluate.h"
#include "engine/tokenizer.h"
#include "io/corpus.h"
#include "verify/coherence_check.h"
#include "verify/generation_check.h"
#include "verify/peak_check.h"
#include "verify/quality_check.h"
#include "verify/task_check.h"

namespace plasticity {
namespace {

/// @param base  nullptr: the model itself judges
void check_coherence(const Model& model, Decoder& decoder, Decoder* base, const Thresholds& thresholds,
                     Report& report) {
    try {
        const DrawnTexts drawn = draw_texts(model, decoder);
        OutputCoherence coherence{.tokens = 0,
                                  .repetition = repetition(drawn.texts),
                                  .entropy = drawn.entropy,
                                  .perplexity = std::exp(drawn.negative_log_likelihood),
                                  .judged_by_base = base != nullptr};
        for (const auto& text : drawn.texts) coherence.tokens += std::ssize(text);
        if (base != nullptr) coherence.perplexity = std::exp(judged_by(*base, drawn));
        report.coherence = coherence;
        report.checks.push_back(judge_coherence(coherence, thresholds));
    } catch (const Error& error) {
        if (error.kind() != ErrorKind::kMalformed) throw;
        report.checks.push_back(make_check("coherence", {error.what()}, ""));
    }
}

}  // namespace

void check_running(const Subject& subject, const Model* base, const Demands& demands, const VerifyOptions& options,
                   Findings findings) {
    auto& [report, progress] = findings;
    const Model& model = *subject.model;
    const DecoderOptions decoder_options{
        .context_length = options.context, .threads = options.threads, .backend = options.backend};
    const auto decoder = load_measured(model, decoder_options, demands.thresholds.max_peak_ratio, report, progress);
    const auto base_decoder = base != nullptr ? std::make_unique<Decoder>(*base, decoder_options, progress) : nullptr;

    check_generation(model, *decoder, report);
    const bool judged_by_base = base != nullptr && base->architecture().n_vocab == model.architecture().n_vocab;
    check_coherence(model, *decoder, judged_by_base ? base_decoder.get() : nullptr, demands.thresholds, report);
    if (!demands.tasks.empty()) {
        report.tasks = TaskResults{.path = options.tasks->string(), .outcomes = {}};
        check_tasks(model, *decoder, demands.tasks, demands.thresholds.min_task_accuracy, findings);
    }
    if (options.data.empty()) return;

    const std::string text = read_plain_text(options.data);
    const Model& tokenized_by = base != nullptr ? *base : model;
    const EvaluationText tokens =
        prepare_evaluation(Tokenizer(tokenized_by.tokenizer()), text, options.context, options.chunks);
    if (base != nullptr) check_quality(*base_decoder, *decoder, tokens, demands.thresholds, findings);
    if (demands.stock)
        check_stock(*demands.stock,
                    {.model = subject.file.file().path(),
                     .text = text,
                     .tokens = &tokens,
                     .threads = thread_count(options.threads),
                     .max_kl = demands.thresholds.max_stock_kl},
                    *decoder, findings);
}

}  // namespace plasticity
