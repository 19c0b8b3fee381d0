#include "engine/evaluate.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "core/clock.h"
#include "core/error.h"
#include "core/parallel.h"

namespace plasticity {
namespace {

/// Logits of a chunk's scored positions, [positions][n_vocab].
void scored_logits(Decoder& decoder, const EvaluationText& text, std::span<const std::int32_t> chunk,
                   std::vector<float>& logits) {
    decoder.clear();
    logits.clear();
    const auto first = static_cast<std::size_t>(text.first_scored());
    // The last token's logits predict what lies beyond the chunk.
    decoder.feed(chunk.first(chunk.size() - 1), first, [&](std::int32_t, std::span<const float> row) {
        logits.insert(logits.end(), row.begin(), row.end());
    });
}

void require_context(const Decoder& decoder, const EvaluationText& text) {
    if (decoder.context_length() < text.context)
        throw Error(ErrorKind::kUsage, fmt::format("evaluate: chunks of {} tokens in a decoder of {}; expected no more",
                                                   text.context, decoder.context_length()));
}

void require_comparable(const Decoder& base, const Decoder& model, const EvaluationText& text) {
    require_context(model, text);
    const std::int32_t n_vocab = base.architecture().n_vocab;
    if (n_vocab != model.architecture().n_vocab)
        throw Error(ErrorKind::kMalformed,
                    fmt::format("compare: the model has {} tokens, its base {}; expected the same vocabulary",
                                model.architecture().n_vocab, n_vocab));
}

}  // namespace

std::vector<std::int32_t> EvaluationText::chunk(std::int32_t index) const {
    const auto begin = tokens.begin() + std::int64_t{index} * context;
    std::vector<std::int32_t> piece(begin, begin + context);
    if (bos >= 0) piece.front() = bos;
    return piece;
}

std::int64_t EvaluationText::positions() const {
    return std::int64_t{n_chunks} * (context - 1 - first_scored());
}

EvaluationText prepare_evaluation(const Tokenizer& tokenizer, std::string_view text, std::int32_t context,
                                  std::int32_t max_chunks) {
    if (context < 4)
        throw Error(ErrorKind::kUsage, fmt::format("evaluate: a context of {}; expected at least 4", context));
    EvaluationText result{.tokens = tokenizer.encode(text, true, false), .context = context};
    if (tokenizer.adds_bos()) result.bos = tokenizer.bos();
    const auto available = static_cast<std::int32_t>(result.tokens.size() / static_cast<std::size_t>(context));
    if (available == 0)
        throw Error(ErrorKind::kUsage,
                    fmt::format("evaluate: the text has {} tokens; expected at least {} (one chunk); "
                                "give more text or a smaller -c",
                                result.tokens.size(), context));
    result.n_chunks = max_chunks > 0 ? std::min(available, max_chunks) : available;
    return result;
}

Perplexity perplexity(Decoder& decoder, const EvaluationText& text, Progress& progress) {
    require_context(decoder, text);
    const auto start = Clock::now();
    double sum = 0, squares = 0;
    progress.begin("perplexity", static_cast<std::uint64_t>(text.n_chunks) * static_cast<std::uint64_t>(text.context),
                   "tokens");
    for (std::int32_t index = 0; index < text.n_chunks; ++index) {
        const std::vector<std::int32_t> chunk = text.chunk(index);
        decoder.clear();
        decoder.feed(std::span(chunk).first(chunk.size() - 1), static_cast<std::size_t>(text.first_scored()),
                     [&](std::int32_t position, std::span<const float> row) {
                         const double nll = -log_softmax_at(row, chunk[static_cast<std::size_t>(position) + 1]);
                         sum += nll;
                         squares += nll * nll;
                     });
        progress.advance(static_cast<std::uint64_t>(text.context));
    }
    progress.end();
    Perplexity result;
    result.positions = text.positions();
    const auto n = static_cast<double>(result.positions);
    const double mean = sum / n, variance = std::max(0.0, squares / n - mean * mean);
    result.value = std::exp(mean);
    result.standard_error = n > 1 ? result.value * std::sqrt(variance / (n - 1)) : 0;
    result.seconds = seconds_since(start);
    return result;
}

std::vector<QualityPanel> compare(Decoder& base, std::span<Decoder* const> models, const EvaluationText& text,
                                  Progress& progress) {
    require_context(base, text);
    for (const Decoder* model : models) require_comparable(base, *model, text);
    const auto width = static_cast<std::size_t>(base.architecture().n_vocab);
    const auto n_positions = static_cast<std::size_t>(text.positions());
    std::vector<std::vector<PositionOutcome>> outcomes(models.size(), std::vector<PositionOutcome>(n_positions));
    std::vector<float> base_logits, logits;
    const std::size_t per_chunk = n_positions / static_cast<std::size_t>(text.n_chunks);
    progress.begin("KL divergence", static_cast<std::uint64_t>(text.n_chunks) * models.size(), "chunks");
    for (std::int32_t index = 0; index < text.n_chunks; ++index) {
        const std::vector<std::int32_t> chunk = text.chunk(index);
        scored_logits(base, text, chunk, base_logits);
        for (std::size_t m = 0; m < models.size(); ++m) {
            scored_logits(*models[m], text, chunk, logits);
            PositionOutcome* out = outcomes[m].data() + static_cast<std::size_t>(index) * per_chunk;
            parallel_for(base.threads(), per_chunk, [&](std::size_t i) {
                const std::int32_t next = chunk[static_cast<std::size_t>(text.first_scored()) + i + 1];
                out[i] = compare_position(std::span(base_logits).subspan(i * width, width),
                                          std::span(logits).subspan(i * width, width), next);
            });
            progress.advance(1);
        }
    }
    progress.end();
    std::vector<QualityPanel> panels;
    for (const auto& of_model : outcomes) panels.push_back(summarize(of_model, per_chunk));
    return panels;
}

QualityPanel compare(Decoder& base, Decoder& model, const EvaluationText& text, Progress& progress) {
    Decoder* const one = &model;
    return compare(base, std::span(&one, 1), text, progress).front();
}

}  // namespace plasticity
