#pragma once

#include <span>

#include "quant/block.h"

namespace plasticity {

/// Formats of 32 weights with an F16 scale and an F16 value of level 0: weight ≈ scale · level + value.
void quantize_q4_1(std::span<const Block> blocks);
void quantize_q5_1(std::span<const Block> blocks);

}  // namespace plasticity
