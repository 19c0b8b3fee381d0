#pragma once

#include <ggml.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>

#include "quant/block.h"

namespace plasticity {

/// Groups of weights that share a scale are searched side by side, one in each lane. Sixteen fill the widest vectors;
/// narrower ones take the batch in several steps. No sum ever runs across lanes, so results are the same for all
/// widths.
inline constexpr std::size_t kLanes = 16;

/// Sixteen groups of N weights, element-major: [N][lane].
template <std::size_t N>
struct LaneBatch {
    alignas(64) float weights[N * kLanes];
    alignas(64) float importance[N * kLanes];
    alignas(64) std::uint8_t codes[N * kLanes];
    bool has_importance = false;

    /// Fills lane after lane from `blocks` of `groups` groups each; lanes without a block get zeros.
    void load(std::span<const Block> blocks, std::size_t groups) {
        has_importance = blocks[0].importance != nullptr;
        for (std::size_t lane = 0; lane < kLanes; ++lane) {
            const std::size_t block = lane / groups, offset = lane % groups * N;
            if (block < blocks.size())
                load_lane(lane, blocks[block].weights + offset,
                          blocks[block].importance ? blocks[block].importance + offset : nullptr);
            else
                clear_lane(lane);
        }
    }

    bool is_zero(std::size_t lane) const {
        for (std::size_t i = 0; i < N; ++i)
            if (weights[i * kLanes + lane] != 0.0f) return false;
        return true;
    }

private:
    void load_lane(std::size_t lane, const float* from, const float* weighing) {
        for (std::size_t i = 0; i < N; ++i) weights[i * kLanes + lane] = from[i];
        if (weighing)
            for (std::size_t i = 0; i < N; ++i) importance[i * kLanes + lane] = weighing[i];
        else
            for (std::size_t i = 0; i < N; ++i) importance[i * kLanes + lane] = 1.0f;
    }
    void clear_lane(std::size_t lane) {
        for (std::size_t i = 0; i < N; ++i) weights[i * kLanes + lane] = 0.0f;
        for (std::size_t i = 0; i < N; ++i) importance[i * kLanes + lane] = 1.0f;
    }
};

/// A number per lane.
using LaneFloats = std::array<float, kLanes>;

/// A scale as blocks store it, and the value that it has then.
struct HalfFloat {
    ggml_fp16_t bits = 0;
    float value = 0;
};

/// Nearest F16, held within the finite ones.
inline HalfFloat to_half(float value) {
    constexpr float kLargestHalf = 65504.0f;
    const ggml_fp16_t bits = ggml_fp32_to_fp16(std::clamp(value, -kLargestHalf, kLargestHalf));
    return {bits, ggml_fp16_to_fp32(bits)};
}

}  // namespace plasticity
