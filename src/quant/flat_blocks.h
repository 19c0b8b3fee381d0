#pragma once

#include <span>

#include "quant/block.h"

namespace plasticity {

/// Formats of 32 weights with one F16 scale of their own: weight ≈ scale · level.
void quantize_q4_0(std::span<const Block> blocks);
void quantize_q5_0(std::span<const Block> blocks);
void quantize_q8_0(std::span<const Block> blocks);
void quantize_iq4_nl(std::span<const Block> blocks);

}  // namespace plasticity
