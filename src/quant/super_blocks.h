#pragma once

#include <span>

#include "quant/block.h"

namespace plasticity {

/// Formats of 256 weights in groups, weight ≈ scale · multiplier of the group · level.
void quantize_q3_k(std::span<const Block> blocks);
void quantize_q6_k(std::span<const Block> blocks);
void quantize_iq4_xs(std::span<const Block> blocks);

}  // namespace plasticity
