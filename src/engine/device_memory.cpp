#include "engine/device_memory.h"

#include <fmt/format.h>

#include <algorithm>

#include "core/units.h"

namespace plasticity {

std::uint64_t kernel_bytes(const Architecture& architecture) {
    constexpr std::uint64_t kLibraries = std::uint64_t{256} << 20;
    std::int64_t rows = architecture.n_vocab;
    for (const LayerGeometry& layer : architecture.layers) rows = std::max<std::int64_t>(rows, layer.n_ff);
    return kLibraries + 2 * static_cast<std::uint64_t>(rows * architecture.n_embd);
}

Offload offload_to_device(const OffloadSizes& sizes, const Backend& backend, const BackendChoice& choice,
                          Progress& progress) {
    const std::uint64_t free_bytes = backend.free_device_bytes();
    const Offload offload = choose_offload(sizes, free_bytes, choice.gpu_layers);
    const auto n_layer = static_cast<std::int32_t>(sizes.layers.size());
    progress.note(fmt::format("{}: {} of {} layers, {} free", backend.label(), offloaded_layers(offload, n_layer),
                              n_layer + 1, format_bytes(free_bytes)));
    return offload;
}

}  // namespace plasticity
