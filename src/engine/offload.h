#pragma once

#include <cstdint>
#include <limits>
#include <optional>
#include <vector>

#include "model/tensor_names.h"

namespace plasticity {

/// Memory that something lies in; an index where there is one of each.
enum class Place { kCpu, kDevice };

/// Which parts of a model lie in a device's memory: its last blocks, the output matrix behind them. Nothing by default.
struct Offload {
    std::int32_t first_layer = std::numeric_limits<std::int32_t>::max();  ///< this block and all after it
    bool output = false;                                                  ///< with the last norm
    bool embedding = false;  ///< only where it is the output matrix too: looking rows up is little work anywhere

    Place layer(std::int32_t index) const { return index >= first_layer ? Place::kDevice : Place::kCpu; }
    Place of(const TensorId& id) const;
};

/// Bytes of a model's parts, in every form that is held of them.
struct OffloadSizes {
    std::vector<std::uint64_t> layers;  ///< a block's weights, keys and values
    std::uint64_t output = 0;
    std::uint64_t working = 0;  ///< what graphs and kernels take while they run
    bool tied = false;          ///< the embedding is the output matrix
};

/// As many of the last parts as fit, or as were asked for. As llama.cpp counts them, the output matrix is the last, so
/// that n_layer + 1 are all there are.
/// @param asked  nothing: those that fit in free_bytes together with `working`
Offload choose_offload(const OffloadSizes& sizes, std::uint64_t free_bytes, std::optional<std::int32_t> asked);

/// Parts on the device, counted likewise.
std::int32_t offloaded_layers(const Offload& offload, std::int32_t n_layer);

}  // namespace plasticity
