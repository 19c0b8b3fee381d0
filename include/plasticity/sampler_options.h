#pragma once

#include <cstdint>
#include <string>

namespace plasticity {

/// How a token is chosen. The defaults are llama.cpp's.
struct SamplerOptions {
    float temperature = 0.8f;         ///< 0: the most likely token, always
    std::int32_t top_k = 40;          ///< 0: off
    float top_p = 0.95f;              ///< 1: off
    float min_p = 0.05f;              ///< 0: off
    float repeat_penalty = 1.0f;      ///< divides positive logits of recent tokens, multiplies negative ones; 1: off
    float frequency_penalty = 0.0f;   ///< taken off a recent token's logit for each time it occurred
    float presence_penalty = 0.0f;    ///< taken off once
    std::int32_t repeat_last_n = 64;  ///< recent tokens; -1: all of the context
    std::uint32_t seed = 0;
    std::string grammar;  ///< GBNF with a rule `root` that the text must follow; empty: none
};

}  // namespace plasticity
