#pragma once

#include <cstdint>
#include <cstring>

#include "quant/lane_batch.h"

namespace plasticity {

/// Super-blocks of 256 weights as ggml stores them. Layouts: llama.cpp, ggml/src/ggml-common.h and the dequantize_row_*
/// of ggml/src/ggml-quants.c. Bytes within a field are in order; F16 is little-endian.

inline constexpr std::size_t kSuperWeights = 256;

/// A super-block, ready to be written.
struct SuperCodes {
    std::uint8_t codes[kSuperWeights];  ///< in order of the weights
    std::uint8_t multipliers[16];       ///< one per group, as the format counts them
    std::uint8_t minima[16];            ///< likewise, for formats that have them
    ggml_fp16_t scale;
    ggml_fp16_t minimum_scale;
};

/// Puts the codes of a super-block's lanes in order.
template <std::size_t N>
void collect_codes(const LaneBatch<N>& batch, std::size_t first_lane, SuperCodes& super) {
    for (std::size_t group = 0; group < kSuperWeights / N; ++group)
        for (std::size_t i = 0; i < N; ++i) super.codes[group * N + i] = batch.codes[i * kLanes + first_lane + group];
}

void pack_q2_k(const SuperCodes& super, std::uint8_t* out);
void pack_q3_k(const SuperCodes& super, std::uint8_t* out);
void pack_q4_k(const SuperCodes& super, std::uint8_t* out);
void pack_q5_k(const SuperCodes& super, std::uint8_t* out);
void pack_q6_k(const SuperCodes& super, std::uint8_t* out);
void pack_iq4_xs(const SuperCodes& super, std::uint8_t* out);

}  // namespace plasticity
