#pragma once

#include <ggml.h>

#include <cstddef>
#include <span>

namespace plasticity {

/// Weights as stored → F32, on this thread, as ggml has it.
/// @param type    one that ggml dequantises, or F32
/// @param stored  whole blocks of `type` that hold at least as many weights as `values`
void dequantize(ggml_type type, std::span<const std::byte> stored, std::span<float> values);

}  // namespace plasticity
