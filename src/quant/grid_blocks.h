#pragma once

#include <span>

#include "quant/block.h"

namespace plasticity {

/// Formats of 256 weights whose magnitudes lie on a grid, with signs of their own.
void quantize_iq3_s(std::span<const Block> blocks);
void quantize_iq3_xxs(std::span<const Block> blocks);
void quantize_iq2_s(std::span<const Block> blocks);

}  // namespace plasticity
