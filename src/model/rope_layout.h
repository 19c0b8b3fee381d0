#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace plasticity {

/// Which two dimensions of a head one rotation turns together.
enum class RopeLayout {
    kNeox,  ///< i and i + d/2: Hugging Face checkpoints, and qwen2 in GGUF
    kNorm,  ///< 2i and 2i + 1: llama and deci in GGUF
};

/// Source row for each row of a query or key projection that moves between layouts: target[r] = source[order[r]].
/// Rows are heads outermost, [n_heads * head_dim]. With head_dim = 6, halves a and b of the rotated pairs:
///
///     NEOX   a0 a1 a2 | b0 b1 b2
///     NORM   a0 b0 a1 b1 a2 b2
///
/// Scores q·k sum over dimensions, so the same order on q and k (and their biases) leaves attention unchanged.
/// @returns the identity when from == to
/// @throws Error (kMalformed) when head_dim is odd or a count is not positive
std::vector<std::int64_t> rope_row_order(std::int32_t n_heads, std::int32_t head_dim, RopeLayout from, RopeLayout to);

/// Rows of the heads that stay. @param kept_heads  strictly ascending, each < n_heads
/// @returns kept_heads.size() * head_dim ascending row indices
/// @throws Error (kMalformed) naming the first head out of order or out of range
std::vector<std::int64_t> rows_of_heads(std::span<const std::int32_t> kept_heads, std::int32_t n_heads,
                                        std::int32_t head_dim);

}  // namespace plasticity
