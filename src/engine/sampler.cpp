#include "engine/sampler.h"

#include <fmt/format.h>
#include <llama.h>

#include <algorithm>
#include <cmath>
#include <exception>

#include "core/error.h"
#include "engine/libllama_log.h"
#include "engine/tokenizer.h"

namespace plasticity {
namespace {

/// "All of the context" is a number to libllama, which keeps as many tokens.
constexpr std::int32_t kAllTokens = 1 << 20;

}  // namespace

void Sampler::Deleter::operator()(llama_sampler* sampler) const noexcept {
    llama_sampler_free(sampler);
}

Sampler::SamplerPtr Sampler::make_chain(const SamplerOptions& options) {
    SamplerPtr chain(llama_sampler_chain_init(llama_sampler_chain_default_params()));
    const auto add = [&](llama_sampler* sampler) { llama_sampler_chain_add(chain.get(), sampler); };
    if (options.temperature <= 0.0f) {
        add(llama_sampler_init_greedy());
        return chain;
    }
    if (options.top_k > 0) add(llama_sampler_init_top_k(options.top_k));
    if (options.top_p < 1.0f) add(llama_sampler_init_top_p(options.top_p, 1));
    if (options.min_p > 0.0f) add(llama_sampler_init_min_p(options.min_p, 1));
    add(llama_sampler_init_temp(options.temperature));
    add(llama_sampler_init_dist(options.seed));
    return chain;
}

Sampler::SamplerPtr Sampler::make_penalties(const SamplerOptions& options, std::int32_t n_vocab) {
    const bool any =
        options.repeat_last_n != 0 &&
        (options.repeat_penalty != 1.0f || options.frequency_penalty != 0.0f || options.presence_penalty != 0.0f);
    if (!any) return nullptr;
    const std::int32_t last_n = options.repeat_last_n < 0 ? kAllTokens : options.repeat_last_n;
    return SamplerPtr(llama_sampler_init_penalties(n_vocab, last_n, options.repeat_penalty, options.frequency_penalty,
                                                   options.presence_penalty));
}

Sampler::SamplerPtr Sampler::make_grammar(const SamplerOptions& options, const Tokenizer& tokenizer) {
    if (options.grammar.empty()) return nullptr;
    const LibllamaLog log;
    SamplerPtr grammar(llama_sampler_init_grammar(tokenizer.vocab(), options.grammar.c_str(), "root"));
    if (!grammar)
        throw Error(ErrorKind::kUsage, fmt::format("grammar: libllama does not take it ({}); expected GBNF with a rule "
                                                   "\"root\"",
                                                   log.text()));
    return grammar;
}

Sampler::Sampler(const SamplerOptions& options, const Tokenizer& tokenizer)
    : greedy_(options.temperature <= 0.0f),
      chain_(make_chain(options)),
      penalties_(make_penalties(options, tokenizer.size())),
      grammar_(make_grammar(options, tokenizer)) {}

Sampler::~Sampler() = default;
Sampler::Sampler(Sampler&&) noexcept = default;
Sampler& Sampler::operator=(Sampler&&) noexcept = default;

void Sampler::accept_prompt(std::span<const std::int32_t> tokens) {
    if (!penalties_) return;
    for (const std::int32_t token : tokens) llama_sampler_accept(penalties_.get(), token);
}

std::int32_t Sampler::choose(std::span<const float> logits) {
    if (greedy_ && !penalties_ && !grammar_)
        return static_cast<std::int32_t>(std::max_element(logits.begin(), logits.end()) - logits.begin());
    std::int32_t token = select(logits, nullptr);
    if (grammar_ && !grammar_allows(token)) token = select(logits, grammar_.get());
    if (penalties_) llama_sampler_accept(penalties_.get(), token);
    llama_sampler_accept(chain_.get(), token);
    if (grammar_) accept_by_grammar(token);
    return token;
}

std::int32_t Sampler::select(std::span<const float> logits, llama_sampler* constraint) const {
    std::vector<llama_token_data> candidates(logits.size());
    for (std::size_t id = 0; id < logits.size(); ++id)
        candidates[id] = {static_cast<llama_token>(id), logits[id], 0.0f};
    llama_token_data_array array{candidates.data(), candidates.size(), -1, false};
    if (constraint != nullptr) {
        llama_sampler_apply(constraint, &array);
        // What is forbidden must be gone: of several tokens at -inf a sampler may take any.
        std::size_t kept = 0;
        for (std::size_t i = 0; i < array.size; ++i)
            if (array.data[i].logit != -INFINITY) array.data[kept++] = array.data[i];
        array.size = kept;
        if (kept == 0)
            throw Error(ErrorKind::kUsage,
                        "grammar: no token of the vocabulary can go on with the text that it allows");
    }
    if (penalties_) llama_sampler_apply(penalties_.get(), &array);
    llama_sampler_apply(chain_.get(), &array);
    return array.data[array.selected].id;
}

bool Sampler::grammar_allows(std::int32_t token) const {
    llama_token_data candidate{token, 1.0f, 0.0f};
    llama_token_data_array array{&candidate, 1, -1, false};
    llama_sampler_apply(grammar_.get(), &array);
    return candidate.logit != -INFINITY;
}

void Sampler::accept_by_grammar(std::int32_t token) {
    try {
        llama_sampler_accept(grammar_.get(), token);
    } catch (const std::exception& problem) {
        throw Error(ErrorKind::kInternal,
                    fmt::format("grammar: token {} was allowed, then refused ({})", token, problem.what()));
    }
}

}  // namespace plasticity
