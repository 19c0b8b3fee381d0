#pragma once

#include <ggml.h>

#include <array>
#include <cstddef>
#include <cstdint>

#include "quant/codebook.h"

namespace plasticity {

/// Most groups that a block of any type has, and most weights.
inline constexpr std::size_t kMostGroups = 16;
inline constexpr std::size_t kMostBlockWeights = 256;

/// Scale and offset of each group of a block: weight = scale · level − offset, exactly as ggml dequantises it.
struct GroupScales {
    std::array<float, kMostGroups> scale{};
    std::array<float, kMostGroups> offset{};
};

/// A type each of whose weights has a code of its own, opened: the scales can be read from a block, and other codes put
/// under them. Codes count levels from the lowest.
struct ScalarFormat {
    std::size_t block_weights;  ///< 32 or 256
    std::size_t group_weights;  ///< that share a scale, neighbours: 16 or 32
    float lowest;               ///< levels lowest, lowest + 1, …, highest
    float highest;
    const Codebook* codebook;  ///< nullptr, or the sixteen levels instead

    /// @param block  ggml_type_size() bytes; the first block_weights / group_weights entries are filled
    void (*read_scales)(const std::byte* block, GroupScales& scales);
    /// @param codes  [block_weights] in order of the weights
    /// @param block  ggml_type_size() bytes; its scales stay
    void (*write_codes)(const std::uint8_t* codes, std::byte* block);

    std::size_t groups() const { return block_weights / group_weights; }
};

/// nullptr for types whose codes stand for points of a grid, and those without an own quantiser. Thread-safe.
const ScalarFormat* scalar_format(ggml_type type);

}  // namespace plasticity
