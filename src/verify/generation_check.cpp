#include "verify/generation_check.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "core/error.h"
#include "engine/evaluate.h"
#include "engine/generate.h"
#include "engine/tokenizer.h"
#include "verify/subject.h"

namespace plasticity {
namespace {

constexpr std::string_view kPrompt = "def fibonacci(n):";
constexpr std::int32_t kMaxTokens = 12;
constexpr std::size_t kFewestTokens = 3;

GeneratedTokens continue_text(const Model& model, Decoder& decoder, Report& report) {
    const Tokenizer tokenizer(model.tokenizer());
    report.test_prompt = kPrompt;
    const auto prompt = tokenizer.encode(kPrompt, true, false);
    const GenerateOptions options{
        .max_tokens = kMaxTokens, .sampler = {.temperature = 0}, .stop = {}, .top_probabilities = 0};
    const Generation generation = generate(decoder, tokenizer, {.tokens = prompt}, options, {});
    report.test_output = generation.text;
    GeneratedTokens generated{.tokens = token_ids(generation.tokens)};
    for (const ScoredToken& token : generation.tokens) generated.log_probabilities.push_back(token.log_probability);
    return generated;
}

/// For files that leave the tokenizer out: the most likely token after each, from ids that every vocabulary has.
GeneratedTokens continue_ids(Decoder& decoder) {
    GeneratedTokens generated;
    std::vector<std::int32_t> next{0, 1};
    for (std::int32_t i = 0; i < kMaxTokens; ++i) {
        decoder.feed(next, next.size() - 1, [&](std::int32_t, std::span<const float> logits) {
            const auto best = static_cast<std::int32_t>(std::ranges::max_element(logits) - logits.begin());
            generated.tokens.push_back(best);
            generated.log_probabilities.push_back(static_cast<float>(log_softmax_at(logits, best)));
        });
        next = {generated.tokens.back()};
    }
    return generated;
}

}  // namespace

Check judge_generation(const GeneratedTokens& generated, std::int32_t n_vocab) {
    constexpr std::string_view kName = "generation";
    const auto& tokens = generated.tokens;
    std::vector<std::string> problems;
    if (tokens.size() < kFewestTokens)
        problems.push_back(fmt::format("ended after {} tokens; expected at least {}", tokens.size(), kFewestTokens));
    for (const std::int32_t token : tokens)
        if (token < 0 || token >= n_vocab)
            problems.push_back(fmt::format("token {} is outside the vocabulary of {}", token, n_vocab));
    if (tokens.size() >= kFewestTokens && std::ranges::count(tokens, tokens.front()) == std::ssize(tokens))
        problems.push_back(fmt::format("token {} again and again, {} times", tokens.front(), tokens.size()));
    const double sum = std::accumulate(generated.log_probabilities.begin(), generated.log_probabilities.end(), 0.0);
    const double mean = tokens.empty() ? 0 : sum / static_cast<double>(tokens.size());
    if (!std::isfinite(mean)) problems.push_back("log probabilities are not finite");
    return make_check(kName, problems, fmt::format("{} tokens, mean log probability {:.3f}", tokens.size(), mean));
}

void check_generation(const Model& model, Decoder& decoder, Report& report) {
    decoder.clear();
    try {
        const bool has_tokenizer = model.tokenizer().contains("tokenizer.ggml.tokens");
        const auto generated = has_tokenizer ? continue_text(model, decoder, report) : continue_ids(decoder);
        report.checks.push_back(judge_generation(generated, model.architecture().n_vocab));
    } catch (const Error& error) {
        if (error.kind() != ErrorKind::kMalformed) throw;
        report.checks.push_back(make_check("generation", {error.what()}, ""));
    }
}

}  // namespace plasticity
