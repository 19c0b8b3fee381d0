#pragma once

#include <ggml.h>

#include <span>

#include "quant/block.h"

namespace plasticity {

/// Quantises blocks of one type so that Σ importance · √(2 m + weight²) · (weight − dequantised)² becomes small, m the
/// block's mean squared weight; without importance, the plain squared error. What ggml dequantises is finite for all
/// finite weights up to the largest F16.
///
/// The bytes of a block depend on nothing but the block: not on those beside it, on threads, or on the vector
/// instructions of the machine. Thread-safe, allocates nothing.
using QuantizeBlocks = void (*)(std::span<const Block>);

/// The own quantiser for `type`; nullptr where ggml's stays in use. May build tables on the first call for a type.
QuantizeBlocks own_quantizer(ggml_type type);

}  // namespace plasticity
