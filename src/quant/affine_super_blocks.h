#pragma once

#include <span>

#include "quant/block.h"

namespace plasticity {

/// Formats of 256 weights in groups that have minima: weight ≈ scale · multiplier · level − minimum scale · multiplier.
void quantize_q2_k(std::span<const Block> blocks);
void quantize_q4_k(std::span<const Block> blocks);
void quantize_q5_k(std::span<const Block> blocks);

}  // namespace plasticity
