#include "engine/offload.h"

#include <algorithm>

namespace plasticity {
namespace {

/// How many of the last parts leave room for `working`.
std::int32_t fitting(const OffloadSizes& sizes, std::uint64_t free_bytes) {
    std::uint64_t taken = sizes.working + sizes.output;
    if (taken > free_bytes) return 0;
    std::int32_t n = 1;
    for (auto layer = sizes.layers.rbegin(); layer != sizes.layers.rend(); ++layer, ++n) {
        taken += *layer;
        if (taken > free_bytes) break;
    }
    return n;
}

}  // namespace

Place Offload::of(const TensorId& id) const {
    const auto place = [](bool there) { return there ? Place::kDevice : Place::kCpu; };
    switch (id.role) {
        case TensorRole::kTokenEmbedding:
            return place(embedding);
        case TensorRole::kOutput:
        case TensorRole::kOutputNorm:
            return place(output);
        case TensorRole::kRopeFrequencies:
            return Place::kCpu;  // every block reads these few numbers
        default:
            return layer(id.layer);
    }
}

Offload choose_offload(const OffloadSizes& sizes, std::uint64_t free_bytes, std::optional<std::int32_t> asked) {
    const auto n_layer = static_cast<std::int32_t>(sizes.layers.size());
    const std::int32_t n = std::clamp(asked.value_or(fitting(sizes, free_bytes)), 0, n_layer + 1);
    return {.first_layer = n_layer + 1 - std::max(n, 1), .output = n > 0, .embedding = n > 0 && sizes.tied};
}

std::int32_t offloaded_layers(const Offload& offload, std::int32_t n_layer) {
    return std::max(n_layer - offload.first_layer, 0) + (offload.output ? 1 : 0);
}

}  // namespace plasticity
