#include "verify/coherence_check.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <set>
#include <string_view>

#include "core/counter_random.h"
#include "engine/divergence.h"
#include "engine/tokenizer.h"
#include "verify/subject.h"

namespace plasticity {
namespace {

constexpr std::array<std::string_view, 2> kPrompts{"def fibonacci(n):", "The history of the town begins in the year"};
constexpr std::size_t kDrawnTokens = 64;
constexpr std::size_t kGram = 4;

/// Ids that every vocabulary has, for files that leave the tokenizer out.
std::vector<std::int32_t> prompt_ids(const Model& model, std::size_t index, std::int32_t context_length) {
    const auto fallback = static_cast<std::int32_t>(index);
    if (!model.tokenizer().contains("tokenizer.ggml.tokens")) return {0, fallback};
    auto ids = Tokenizer(model.tokenizer()).encode(kPrompts[index], true, false);
    ids.resize(std::min(ids.size(), static_cast<std::size_t>(context_length / 2)));
    return ids;
}

/// By inversion: the first token at which the sum of probabilities passes `at`, [0, 1).
std::int32_t draw(std::span<const float> logits, double at) {
    const auto top = std::ranges::max_element(logits);
    double total = 0, sum = 0;
    for (const float logit : logits) total += std::exp(static_cast<double>(logit) - *top);
    for (std::size_t id = 0; id < logits.size(); ++id) {
        sum += std::exp(static_cast<double>(logits[id]) - *top);
        if (sum > at * total) return static_cast<std::int32_t>(id);
    }
    return static_cast<std::int32_t>(top - logits.begin());
}

}  // namespace

DrawnTexts draw_texts(const Model& model, Decoder& decoder) {
    DrawnTexts drawn;
    std::size_t n_tokens = 0;
    for (std::size_t index = 0; index < kPrompts.size(); ++index) {
        decoder.clear();
        const auto prompt = prompt_ids(model, index, decoder.context_length());
        const auto room = static_cast<std::size_t>(decoder.context_length()) - prompt.size();
        std::vector<std::int32_t> text, next = prompt;
        while (text.size() < std::min(kDrawnTokens, room)) {
            decoder.feed(next, next.size() - 1, [&](std::int32_t, std::span<const float> logits) {
                const std::int32_t token = draw(logits, uniform_at(index, text.size()));
                drawn.entropy += entropy(logits);
                drawn.negative_log_likelihood -= log_softmax_at(logits, token);
                text.push_back(token);
            });
            next = {text.back()};
        }
        n_tokens += text.size();
        drawn.prompts.push_back(prompt);
        drawn.texts.push_back(std::move(text));
    }
    drawn.entropy /= static_cast<double>(n_tokens);
    drawn.negative_log_likelihood /= static_cast<double>(n_tokens);
    return drawn;
}

double judged_by(Decoder& judge, const DrawnTexts& drawn) {
    double sum = 0;
    std::size_t n_tokens = 0;
    for (std::size_t i = 0; i < drawn.texts.size(); ++i) {
        std::vector<std::int32_t> all = drawn.prompts[i];
        const std::size_t first = all.size();
        all.insert(all.end(), drawn.texts[i].begin(), drawn.texts[i].end());
        judge.clear();
        judge.feed(std::span(all).first(all.size() - 1), first - 1,
                   [&](std::int32_t position, std::span<const float> logits) {
                       sum -= log_softmax_at(logits, all[static_cast<std::size_t>(position) + 1]);
                   });
        n_tokens += drawn.texts[i].size();
    }
    return sum / static_cast<double>(n_tokens);
}

double repetition(std::span<const std::vector<std::int32_t>> texts) {
    std::size_t n_grams = 0, n_repeated = 0;
    for (const auto& text : texts) {
        std::set<std::vector<std::int32_t>> seen;
        for (std::size_t i = 0; i + kGram <= text.size(); ++i, ++n_grams) {
            const auto begin = text.begin() + static_cast<std::ptrdiff_t>(i);
            if (!seen.emplace(begin, begin + kGram).second) ++n_repeated;
        }
    }
    return n_grams == 0 ? 0 : static_cast<double>(n_repeated) / static_cast<double>(n_grams);
}

Check judge_coherence(const OutputCoherence& c, const Thresholds& thresholds) {
    std::vector<std::string> problems;
    if (!(c.repetition <= thresholds.max_repetition))
        problems.push_back(fmt::format("{:.1f} % of its 4-grams are repetitions; expected at most {:.1f} %",
                                       100 * c.repetition, 100 * thresholds.max_repetition));
    if (!(c.entropy >= thresholds.min_entropy))
        problems.push_back(
            fmt::format("entropy {:.4f} nats; expected at least {:.4g}", c.entropy, thresholds.min_entropy));
    const char* judge = c.judged_by_base ? "under the base" : "under itself";
    if (!(c.perplexity <= thresholds.max_output_perplexity))
        problems.push_back(fmt::format("its text has perplexity {:.4g} {}; expected at most {:.4g}", c.perplexity,
                                       judge, thresholds.max_output_perplexity));
    return make_check(
        "coherence", problems,
        fmt::format("{} tokens drawn: {:.1f} % of 4-grams repeated, entropy {:.2f} nats, perplexity {:.2f} {}",
                    c.tokens, 100 * c.repetition, c.entropy, c.perplexity, judge));
}

}  // namespace plasticity
