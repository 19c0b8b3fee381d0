#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "plasticity/sampler_options.h"

struct llama_sampler;  // NOLINT(readability-identifier-naming): libllama's own

namespace plasticity {

class Tokenizer;

/// Chooses tokens from logits by libllama's samplers, in llama.cpp's order: penalties, top-k, top-p, min-p,
/// temperature. A grammar, if there is one, is asked first about the token that would be chosen without it, and only
/// where it refuses that one about the whole vocabulary, which takes long; the distribution is the same.
class Sampler {
public:
    /// @throws Error (kUsage for a grammar that libllama does not take)
    Sampler(const SamplerOptions& options, const Tokenizer& tokenizer);
    ~Sampler();
    Sampler(Sampler&&) noexcept;
    Sampler& operator=(Sampler&&) noexcept;

    /// Tokens of the prompt, which penalties count among the recent ones.
    void accept_prompt(std::span<const std::int32_t> tokens);

    /// @param logits  [n_vocab]
    /// @throws Error (kUsage where the grammar allows no token)
    std::int32_t choose(std::span<const float> logits);

private:
    struct Deleter {
        void operator()(llama_sampler* sampler) const noexcept;
    };
    using SamplerPtr = std::unique_ptr<llama_sampler, Deleter>;

    static SamplerPtr make_chain(const SamplerOptions& options);
    static SamplerPtr make_penalties(const SamplerOptions& options, std::int32_t n_vocab);
    static SamplerPtr make_grammar(const SamplerOptions& options, const Tokenizer& tokenizer);
    /// @param constraint  takes out what it forbids first; nullptr: nothing
    std::int32_t select(std::span<const float> logits, llama_sampler* constraint) const;
    bool grammar_allows(std::int32_t token) const;
    void accept_by_grammar(std::int32_t token);

    bool greedy_;
    SamplerPtr chain_;
    SamplerPtr penalties_;  ///< nullptr: none
    SamplerPtr grammar_;    ///< nullptr: none
};

}  // namespace plasticity
