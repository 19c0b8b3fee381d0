#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace plasticity {

/// A token and ln of its probability.
struct TokenProbability {
    std::int32_t token = 0;
    float log_probability = 0;
    bool operator==(const TokenProbability&) const = default;
};

/// A token that text holds, and what the model gave most at its place.
struct ScoredToken {
    std::int32_t token = 0;
    float log_probability = 0;          ///< under the unmodified distribution, nats
    std::vector<TokenProbability> top;  ///< the likeliest tokens, best first
    bool operator==(const ScoredToken&) const = default;
};

std::vector<std::int32_t> token_ids(std::span<const ScoredToken> tokens);

/// @param logits  [n_vocab], of the token's place
/// @param n_top   how many of the likeliest; ties go to the lower id
ScoredToken score_token(std::span<const float> logits, std::int32_t token, std::size_t n_top);

}  // namespace plasticity
