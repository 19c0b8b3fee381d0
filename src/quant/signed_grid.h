#pragma once

#include <ggml.h>

#include <cstddef>
#include <cstdint>
#include <vector>

namespace plasticity {

/// The magnitudes that a type with a grid can give to `dims` neighbouring weights: some of the combinations of a few
/// levels. A weight is multiplier of its group · scale · magnitude, with a sign of its own.
struct SignedGrid {
    /// Magnitudes are counted in eighths, in which those of all types are whole.
    static constexpr float kUnit = 0.125f;

    /// Points that share the first half of their coordinates: [begin, end) of `second`.
    struct Run {
        std::uint32_t first = 0;  ///< code of the first half: its levels as digits, the first coordinate's lowest
        std::uint32_t begin = 0;
        std::uint32_t end = 0;
    };
    /// A point of a run.
    struct Second {
        std::uint32_t half = 0;  ///< code of the second half
        float point = 0;         ///< index of the point as the type stores it
    };

    std::size_t dims = 0;               ///< 4 or 8
    std::vector<float> levels;          ///< ascending, in eighths
    std::vector<std::int32_t> points;   ///< [point][dims / 4] magnitudes in eighths, a byte each, the first lowest
    std::vector<std::int32_t> nearest;  ///< [code of all coordinates][dims / 4] the nearest point's magnitudes
    std::vector<Run> runs;
    std::vector<Second> second;
};

/// Read from ggml, by dequantising a block for every point. Thread-safe; built on the first call for a type.
/// @param type  IQ3_S, IQ3_XXS or IQ2_S
const SignedGrid& signed_grid(ggml_type type);

}  // namespace plasticity
