#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace plasticity {

/// What a weight does, whatever it is called.
enum class TensorRole {
    kTokenEmbedding,
    kOutputNorm,
    kOutput,
    kRopeFrequencies,
    kAttentionNorm,
    kQuery,
    kKey,
    kValue,
    kAttentionOutput,
    kFeedForwardNorm,
    kGate,
    kUp,
    kDown,
};

/// A weight's identity: role, block and whether it is the bias.
struct TensorId {
    TensorRole role;
    int layer = -1;  ///< -1 for weights outside the blocks
    bool is_bias = false;
    bool operator==(const TensorId&) const = default;
};

/// "blk.3.attn_q.weight" ↔ {kQuery, 3, false}; nothing for names this program does not know.
std::optional<TensorId> parse_gguf_name(std::string_view name);
std::string gguf_name(const TensorId& id);

/// "model.layers.3.self_attn.q_proj.weight" ↔ the same.
std::optional<TensorId> parse_hf_name(std::string_view name);
std::string hf_name(const TensorId& id);

/// A two-dimensional weight that is worth quantising (embedding, output, projections).
bool is_matrix(const TensorId& id);

}  // namespace plasticity
