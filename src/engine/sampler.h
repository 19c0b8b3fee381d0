#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

struct llama_sampler;  // NOLINT(readability-identifier-naming): libllama's own

namespace plasticity {

struct SamplerOptions {
    float temperature = 0.8f;  ///< 0: the most likely token, always
    std::int32_t top_k = 40;   ///< 0: off
    float top_p = 0.95f;       ///< 1: off
    float min_p = 0.05f;       ///< 0: off
    std::uint32_t seed = 0;
};

/// Chooses a token from logits by libllama's samplers, in llama.cpp's order: top-k, top-p, min-p, temperature.
class Sampler {
public:
    explicit Sampler(const SamplerOptions& options);
    ~Sampler();

    /// @param logits  [n_vocab]
    std::int32_t choose(std::span<const float> logits);

private:
    struct ChainDeleter {
        void operator()(llama_sampler* chain) const noexcept;
    };
    std::unique_ptr<llama_sampler, ChainDeleter> chain_;
};

}  // namespace plasticity
