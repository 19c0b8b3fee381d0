#pragma once

#include <ggml.h>

#include <cstdint>
#include <string_view>

#include "core/checked.h"

namespace plasticity {

/// GGUF key (bool) of files that this program alone runs. true: rows of a matrix may be longer than the architecture
/// says, exactly as long as whole blocks of the matrix' type want:
///
///     row of 576 weights in Q4_K    | 256 weights | 256 weights | 64 weights, 192 zeros |    stored as 768
///
/// The model keeps its 576 channels; what multiplies with such a row gets zeros behind its own.
inline constexpr std::string_view kPaddedColumnsKey = "continuum.padded_columns";

/// Rows of whole blocks of this type are rows of whole blocks of every type.
inline constexpr ggml_type kWidestBlock = GGML_TYPE_Q4_K;

/// Columns of a row once its last block is full.
inline std::int64_t whole_blocks(ggml_type type, std::int64_t cols) {
    return static_cast<std::int64_t>(
        align_up(static_cast<std::uint64_t>(cols), static_cast<std::uint64_t>(ggml_blck_size(type))));
}

}  // namespace plasticity
