#pragma once

#include <ggml.h>

#include <cstddef>
#include <cstdint>

#include "quant/grid_packing.h"
#include "quant/signed_grid.h"

namespace plasticity {

/// Super-blocks whose codes stand for points of a grid, each weight with a sign of its own, opened: scale and
/// multipliers can be read from a block, and other points and signs put under them.
/// weight = scale · (2 · multiplier + 1) · magnitude of the point, as SignedGrid counts it, in eighths.
struct PointFormat {
    std::size_t group_weights;  ///< that share a multiplier, neighbours: 16 or 32
    const SignedGrid* grid;

    /// @param block  ggml_type_size() bytes; scale and multipliers are filled, points and signs stay
    void (*read_scales)(const std::uint8_t* block, GridCodes& codes);
    /// @param block  ggml_type_size() bytes
    void (*write)(const GridCodes& codes, std::uint8_t* block);
};

/// nullptr for types without a grid, and for IQ3_XXS, whose signs depend on one another. Thread-safe.
const PointFormat* point_format(ggml_type type);

}  // namespace plasticity
