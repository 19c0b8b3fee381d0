#pragma once

#include <cstdint>

#include "model/architecture.h"

namespace plasticity {

/// Memory that running a model takes beside its weights and KV cache, in bytes.
struct DecoderMemory {
    std::uint64_t graphs = 0;   ///< intermediate results, as ggml lays them out
    std::uint64_t kernels = 0;  ///< activations as the CPU's kernels convert them
    std::uint64_t host = 0;     ///< hidden states, logits and a mask, on their way in or out

    std::uint64_t total() const { return graphs + kernels + host; }
};

/// When the last batch, of 512 tokens, fills the context. From the decoder's own graphs; nothing is allocated for it.
/// Norms of single heads, which are small, are not in it.
DecoderMemory decoder_memory(const Architecture& architecture, std::int32_t context_length);

}  // namespace plasticity
