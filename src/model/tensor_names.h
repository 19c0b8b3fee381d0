#pragma once

#include <optional>
#include <span>
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
    kQueryNorm,  ///< over one head
    kKeyNorm,
    kValue,
    kAttentionOutput,
    kAttentionPostNorm,  ///< of what attention adds to the residual stream
    kFeedForwardNorm,
    kGate,
    kUp,
    kDown,
    kFeedForwardPostNorm,
    kRouter,  ///< which experts a token goes to
    kExpertGates,
    kExpertUps,
    kExpertDowns,
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

/// A name by which one family's checkpoints call a role, where most call it otherwise or call another role so.
struct RoleSpelling {
    TensorRole role;
    std::string_view hf;  ///< within a block, without ".weight": "pre_feedforward_layernorm"
};

/// "model.layers.3.self_attn.q_proj.weight" ↔ the same. Recipes use these names for all families; checkpoints may have
/// spellings of their own.
std::optional<TensorId> parse_hf_name(std::string_view name, std::span<const RoleSpelling> spellings = {});
std::string hf_name(const TensorId& id, std::span<const RoleSpelling> spellings = {});

/// "blk.3.attn_qkv.weight" with the block's prefix of its scheme taken off: {3, "attn_qkv", ".weight"}.
struct BlockName {
    int layer = 0;
    std::string_view within;
    std::string_view suffix;
};
std::optional<BlockName> split_gguf_name(std::string_view name);
std::optional<BlockName> split_hf_name(std::string_view name);

/// A weight that is worth quantising: embedding, output, projections, experts.
bool is_matrix(const TensorId& id);
/// Of the attention part of a block, which a block without heads has not.
bool is_attention(TensorRole role);
/// The weight of an RMSNorm.
bool is_norm(TensorRole role);
/// The three that hold one matrix for each expert.
bool is_of_experts(TensorRole role);

}  // namespace plasticity
