#pragma once

#include <cstdint>

namespace plasticity {

/// Values of `tokenizer.ggml.token_type`. Source: llama.cpp, include/llama.h (llama_token_type).
enum TokenType : std::int32_t {
    kTokenNormal = 1,
    kTokenUnknown = 2,
    kTokenControl = 3,
    kTokenUserDefined = 4,
    kTokenUnused = 5,
    kTokenByte = 6,
};

}  // namespace plasticity
