#pragma once

#include <cstdint>
#include <cstring>

#include "quant/lane_batch.h"

namespace plasticity {

/// Codes of 32 weights as the flat formats store them. Layouts: llama.cpp, ggml/src/ggml-common.h.

inline constexpr std::size_t kFlatWeights = 32;

/// Codes of a block in order: one lane of a batch, or with a stride of 1 an array of them.
struct LaneCodes {
    const std::uint8_t* codes;
    std::size_t stride = kLanes;
    std::uint8_t operator[](std::size_t i) const { return codes[i * stride]; }
};

/// | F16 scale | 16 bytes: weight j low half, weight j + 16 high half |
inline void pack_nibbles(LaneCodes codes, std::uint8_t* out) {
    for (std::size_t j = 0; j < 16; ++j)
        out[j] = static_cast<std::uint8_t>((codes[j] & 15) | (codes[j + 16] & 15) << 4);
}

/// | 4 bytes, little-endian: bit i is bit 4 of weight i | 16 bytes as above |
inline void pack_nibbles_and_fifth_bits(LaneCodes codes, std::uint8_t* out) {
    std::uint32_t fifth = 0;
    for (std::size_t i = 0; i < kFlatWeights; ++i) fifth |= static_cast<std::uint32_t>(codes[i] >> 4 & 1) << i;
    for (std::size_t byte = 0; byte < 4; ++byte) out[byte] = static_cast<std::uint8_t>(fifth >> 8 * byte);
    pack_nibbles(codes, out + 4);
}

/// | 32 bytes: weight i, two's complement | from codes that count from −127
inline void pack_bytes(LaneCodes codes, std::uint8_t* out) {
    for (std::size_t i = 0; i < kFlatWeights; ++i) out[i] = static_cast<std::uint8_t>(codes[i] - 127);
}

}  // namespace plasticity
