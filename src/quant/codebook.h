#pragma once

#include <array>

namespace plasticity {

/// The sixteen uneven levels that IQ4_NL and IQ4_XS share, ascending, in units of the scale.
struct Codebook {
    std::array<float, 16> levels;
    std::array<float, 15> midpoints;  ///< between neighbours: where rounding changes
};

/// Read from ggml, by dequantising a block of scale 1 that holds every code. Thread-safe.
const Codebook& iq4_codebook();

}  // namespace plasticity
