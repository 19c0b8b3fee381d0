#pragma once

#include <cstddef>
#include <vector>

#include "artifact/lora_adapter.h"
#include "engine/backend.h"
#include "engine/lora_graph.h"
#include "engine/offload.h"
#include "engine/placed_tensors.h"

namespace plasticity {

/// An adapter in the memory of a backend, each block's beside its weights.
class LoraWeights {
public:
    LoraWeights() = default;  ///< none
    /// @throws Error (kIo) where memory lacks
    LoraWeights(const LoraAdapter& adapter, std::int32_t n_layer, const Backend& backend, const Offload& offload);

    std::span<const LayerLora> layers() const { return layers_; }  ///< one for each block; empty: no adapter
    std::size_t bytes() const { return tensors_.bytes(); }

private:
    PlacedTensors tensors_;
    std::vector<LayerLora> layers_;
};

}  // namespace plasticity
