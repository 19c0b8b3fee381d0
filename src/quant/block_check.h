#pragma once

#include <ggml.h>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

namespace plasticity {

/// Index of the first value that is NaN or of a magnitude above `limit` (≥ 0); nothing where all lie within.
std::optional<std::int64_t> first_beyond(std::span<const float> values, float limit);

/// Index of the first NaN or infinity; nothing where all are finite.
std::optional<std::int64_t> first_non_finite(std::span<const float> values);

/// Index of the first element that stored blocks of `type` dequantise to NaN or infinity; nothing where all are finite
/// (always so for integers). Thread-safe, needs no memory beside the stack.
/// @param bytes  whole blocks
/// @throws Error (kInternal) when the bytes are no whole number of blocks
std::optional<std::int64_t> first_non_finite(ggml_type type, std::span<const std::byte> bytes);

}  // namespace plasticity
