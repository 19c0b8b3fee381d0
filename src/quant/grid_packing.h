#pragma once

#include <cstdint>
#include <cstring>

#include "quant/lane_batch.h"

namespace plasticity {

/// Super-blocks of 256 weights on a grid, as ggml stores them. Layouts: llama.cpp, ggml/src/ggml-common.h and the
/// dequantize_row_iq* of ggml/src/ggml-quants.c.

struct GridCodes {
    std::uint16_t points[64];      ///< index per 4 (IQ3) or 8 weights (IQ2_S)
    std::uint8_t signs[32];        ///< bit j of byte i: weight 8 i + j is negative
    std::uint8_t multipliers[16];  ///< of each group, as stored: 2 n + 1 is what it stands for
    ggml_fp16_t scale;
};

/// | F16 scale | 64 bytes: bits 0–7 of points | 8 bytes: bit 8 of points | 32 bytes: signs | 4 bytes: multipliers, two
/// to a byte |
inline void pack_iq3_s(const GridCodes& grid, std::uint8_t* out) {
    std::memcpy(out, &grid.scale, sizeof grid.scale);
    std::memset(out + 66, 0, 8);
    for (std::size_t k = 0; k < 64; ++k) {
        out[2 + k] = static_cast<std::uint8_t>(grid.points[k] & 255);
        out[66 + k / 8] = static_cast<std::uint8_t>(out[66 + k / 8] | (grid.points[k] >> 8) << k % 8);
    }
    std::memcpy(out + 74, grid.signs, 32);
    for (std::size_t pair = 0; pair < 4; ++pair)
        out[106 + pair] = static_cast<std::uint8_t>(grid.multipliers[2 * pair] | grid.multipliers[2 * pair + 1] << 4);
}

/// | F16 scale | 64 bytes: points | 8 × 4 bytes, little-endian: seven sign bits of each eight weights, then the
/// multiplier in bits 28–31 | The eighth sign makes the number of negative weights even.
inline void pack_iq3_xxs(const GridCodes& grid, std::uint8_t* out) {
    std::memcpy(out, &grid.scale, sizeof grid.scale);
    for (std::size_t k = 0; k < 64; ++k) out[2 + k] = static_cast<std::uint8_t>(grid.points[k]);
    for (std::size_t group = 0; group < 8; ++group) {
        std::uint32_t word = static_cast<std::uint32_t>(grid.multipliers[group]) << 28;
        for (std::size_t i = 0; i < 4; ++i) word |= (grid.signs[4 * group + i] & 127u) << 7 * i;
        for (std::size_t byte = 0; byte < 4; ++byte)
            out[66 + 4 * group + byte] = static_cast<std::uint8_t>(word >> 8 * byte);
    }
}

/// | F16 scale | 32 bytes: bits 0–7 of points | 32 bytes: signs | 8 bytes: bits 8–9 of points | 8 bytes: multipliers,
/// two to a byte |
inline void pack_iq2_s(const GridCodes& grid, std::uint8_t* out) {
    std::memcpy(out, &grid.scale, sizeof grid.scale);
    std::memcpy(out + 34, grid.signs, 32);
    std::memset(out + 66, 0, 8);
    for (std::size_t k = 0; k < 32; ++k) {
        out[2 + k] = static_cast<std::uint8_t>(grid.points[k] & 255);
        out[66 + k / 4] = static_cast<std::uint8_t>(out[66 + k / 4] | (grid.points[k] >> 8) << 2 * (k % 4));
    }
    for (std::size_t pair = 0; pair < 8; ++pair)
        out[74 + pair] = static_cast<std::uint8_t>(grid.multipliers[2 * pair] | grid.multipliers[2 * pair + 1] << 4);
}

}  // namespace plasticity
