#include "plan/memory.h"

#include <algorithm>

namespace plasticity {
namespace {

constexpr std::int32_t kBatchTokens = 512;

std::uint64_t block_elements_per_token(const LayerGeometry& layer, std::uint64_t head_dim, std::uint64_t context) {
    const auto heads = static_cast<std::uint64_t>(layer.n_head);
    const auto kv_heads = static_cast<std::uint64_t>(layer.n_head_kv);
    const std::uint64_t attention =
        heads == 0 ? 0 : 2 * heads * head_dim + 2 * kv_heads * head_dim + heads * context + context;
    return std::max(attention, 3 * static_cast<std::uint64_t>(layer.n_ff));
}

}  // namespace

std::uint64_t compute_bytes(const Architecture& architecture, std::int32_t context_length) {
    const auto context = static_cast<std::uint64_t>(context_length);
    const auto batch = static_cast<std::uint64_t>(std::min(kBatchTokens, context_length));
    std::uint64_t widest = 0;
    for (const LayerGeometry& layer : architecture.layers)
        widest = std::max(widest,
                          block_elements_per_token(layer, static_cast<std::uint64_t>(architecture.head_dim), context));
    const std::uint64_t per_token = 2 * static_cast<std::uint64_t>(architecture.n_embd) + widest;
    return sizeof(float) * (batch * per_token + static_cast<std::uint64_t>(architecture.n_vocab));
}

}  // namespace plasticity
