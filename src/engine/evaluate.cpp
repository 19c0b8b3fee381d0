#include "engine/evaluate.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <optional>

#include "core/clock.h"
#include "core/error.h"
#include "core/parallel.h"

namespace plasticity {
namespace {

/// ln Σ exp(logits), and where the largest logit stands.
struct Normalizer {
    double log_sum = 0;
    std::size_t top = 0;
};

Normalizer normalize(std::span<const float> logits) {
    const auto top = static_cast<std::size_t>(std::max_element(logits.begin(), logits.end()) - logits.begin());
    const float largest = logits[top];
    double sum = 0;
    for (const float logit : logits) sum += static_cast<double>(std::exp(logit - largest));
    return {static_cast<double>(largest) + std::log(sum), top};
}

/// Linear interpolation between order statistics. @param sorted  ascending, not empty
double quantile(const std::vector<double>& sorted, double share) {
    const double at = share * static_cast<double>(sorted.size() - 1);
    const auto below = static_cast<std::size_t>(at);
    const std::size_t above = std::min(below + 1, sorted.size() - 1);
    return sorted[below] + (at - static_cast<double>(below)) * (sorted[above] - sorted[below]);
}

struct PositionOutcome {
    double kl = 0, base_nll = 0, nll = 0;
    bool same_top = false;
};

double divergence(std::span<const float> base, const Normalizer& p, std::span<const float> model, const Normalizer& q) {
    double kl = 0;
    for (std::size_t id = 0; id < base.size(); ++id) {
        const double log_p = base[id] - p.log_sum, log_q = model[id] - q.log_sum;
        kl += static_cast<double>(std::exp(static_cast<float>(log_p))) * (log_p - log_q);
    }
    return kl;
}

PositionOutcome compare_position(std::span<const float> base, std::span<const float> model, std::int32_t next) {
    const Normalizer p = normalize(base), q = normalize(model);
    const auto target = static_cast<std::size_t>(next);
    return {divergence(base, p, model, q), p.log_sum - base[target], q.log_sum - model[target], p.top == q.top};
}

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

/// Of the mean, from the means of blocks of equal size. @returns nothing for one block
std::optional<double> blocked_error(const std::vector<PositionOutcome>& outcomes, std::size_t per_block) {
    const std::size_t n_blocks = outcomes.size() / per_block;
    if (n_blocks < 2) return std::nullopt;
    double sum = 0, squares = 0;
    for (std::size_t block = 0; block < n_blocks; ++block) {
        double mean = 0;
        for (std::size_t i = 0; i < per_block; ++i)
            mean += outcomes[block * per_block + i].kl / static_cast<double>(per_block);
        sum += mean;
        squares += mean * mean;
    }
    const auto n = static_cast<double>(n_blocks);
    return std::sqrt(std::max(0.0, squares - sum * sum / n) / (n * (n - 1)));
}

QualityPanel summarize(const std::vector<PositionOutcome>& outcomes, std::size_t per_chunk) {
    QualityPanel panel;
    panel.mean_kl_error = blocked_error(outcomes, per_chunk);
    panel.positions = static_cast<std::int64_t>(outcomes.size());
    const auto n = static_cast<double>(outcomes.size());
    std::vector<double> kl;
    double base_nll = 0, nll = 0, same = 0, kl_sum = 0;
    for (const PositionOutcome& o : outcomes) {
        kl.push_back(o.kl);
        kl_sum += o.kl;
        base_nll += o.base_nll;
        nll += o.nll;
        same += o.same_top ? 1 : 0;
    }
    std::sort(kl.begin(), kl.end());
    panel.mean_kl = kl_sum / n;
    panel.median_kl = quantile(kl, 0.5);
    panel.p999_kl = quantile(kl, 0.999);
    panel.max_kl = kl.back();
    panel.base_perplexity = std::exp(base_nll / n);
    panel.perplexity = std::exp(nll / n);
    panel.top1_agreement = same / n;
    return panel;
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

QualityPanel compare(Decoder& base, Decoder& model, const EvaluationText& text, Progress& progress) {
    require_context(base, text);
    require_context(model, text);
    const std::int32_t n_vocab = base.architecture().n_vocab;
    if (n_vocab != model.architecture().n_vocab)
        throw Error(ErrorKind::kMalformed,
                    fmt::format("compare: the model has {} tokens, its base {}; expected the same vocabulary",
                                model.architecture().n_vocab, n_vocab));
    const auto width = static_cast<std::size_t>(n_vocab);
    std::vector<PositionOutcome> outcomes(static_cast<std::size_t>(text.positions()));
    std::vector<float> base_logits, logits;
    const std::size_t per_chunk = outcomes.size() / static_cast<std::size_t>(text.n_chunks);
    progress.begin("KL divergence", static_cast<std::uint64_t>(text.n_chunks), "chunks");
    for (std::int32_t index = 0; index < text.n_chunks; ++index) {
        const std::vector<std::int32_t> chunk = text.chunk(index);
        scored_logits(base, text, chunk, base_logits);
        scored_logits(model, text, chunk, logits);
        parallel_for(base.threads(), per_chunk, [&](std::size_t i) {
            const std::int32_t next = chunk[static_cast<std::size_t>(text.first_scored()) + i + 1];
            outcomes[static_cast<std::size_t>(index) * per_chunk + i] = compare_position(
                std::span(base_logits).subspan(i * width, width), std::span(logits).subspan(i * width, width), next);
        });
        progress.advance(1);
    }
    progress.end();
    return summarize(outcomes, per_chunk);
}

double kl_divergence(std::span<const float> base, std::span<const float> model) {
    return divergence(base, normalize(base), model, normalize(model));
}

double log_softmax_at(std::span<const float> logits, std::int32_t token) {
    return logits[static_cast<std::size_t>(token)] - normalize(logits).log_sum;
}

}  // namespace plasticity
