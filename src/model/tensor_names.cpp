#include "model/tensor_names.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>

namespace plasticity {
namespace {

struct RoleName {
    TensorRole role;
    std::string_view gguf;
    std::string_view hf;  ///< empty: checkpoints hold no such weight
    bool in_block;
    bool is_matrix;
};

// Sources: gguf-py/gguf/constants.py (TENSOR_NAMES) and the module names of transformers' modeling_llama.py.
constexpr std::array kRoleNames{
    RoleName{TensorRole::kTokenEmbedding, "token_embd", "model.embed_tokens", false, true},
    RoleName{TensorRole::kOutputNorm, "output_norm", "model.norm", false, false},
    RoleName{TensorRole::kOutput, "output", "lm_head", false, true},
    RoleName{TensorRole::kRopeFrequencies, "rope_freqs", "", false, false},
    RoleName{TensorRole::kAttentionNorm, "attn_norm", "input_layernorm", true, false},
    RoleName{TensorRole::kQuery, "attn_q", "self_attn.q_proj", true, true},
    RoleName{TensorRole::kKey, "attn_k", "self_attn.k_proj", true, true},
    RoleName{TensorRole::kQueryNorm, "attn_q_norm", "self_attn.q_norm", true, false},
    RoleName{TensorRole::kKeyNorm, "attn_k_norm", "self_attn.k_norm", true, false},
    RoleName{TensorRole::kValue, "attn_v", "self_attn.v_proj", true, true},
    RoleName{TensorRole::kAttentionOutput, "attn_output", "self_attn.o_proj", true, true},
    RoleName{TensorRole::kAttentionPostNorm, "post_attention_norm", "", true, false},
    RoleName{TensorRole::kFeedForwardNorm, "ffn_norm", "post_attention_layernorm", true, false},
    RoleName{TensorRole::kGate, "ffn_gate", "mlp.gate_proj", true, true},
    RoleName{TensorRole::kUp, "ffn_up", "mlp.up_proj", true, true},
    RoleName{TensorRole::kDown, "ffn_down", "mlp.down_proj", true, true},
    RoleName{TensorRole::kFeedForwardPostNorm, "post_ffw_norm", "post_feedforward_layernorm", true, false},
    RoleName{TensorRole::kRouter, "ffn_gate_inp", "mlp.gate", true, false},
    RoleName{TensorRole::kExpertGates, "ffn_gate_exps", "mlp.experts.gate_proj", true, true},
    RoleName{TensorRole::kExpertUps, "ffn_up_exps", "mlp.experts.up_proj", true, true},
    RoleName{TensorRole::kExpertDowns, "ffn_down_exps", "mlp.experts.down_proj", true, true},
};

const RoleName& name_of(TensorRole role) {
    for (const RoleName& name : kRoleNames)
        if (name.role == role) return name;
    __builtin_unreachable();
}

bool consume_prefix(std::string_view& text, std::string_view prefix) {
    if (!text.starts_with(prefix)) return false;
    text.remove_prefix(prefix.size());
    return true;
}

bool consume_suffix(std::string_view& text, std::string_view suffix) {
    if (!text.ends_with(suffix)) return false;
    text.remove_suffix(suffix.size());
    return true;
}

// "12." → 12. Only the spelling that writing the number gives: "012." would make two names of one weight.
std::optional<int> consume_layer(std::string_view& text) {
    int layer = 0;
    const auto [end, failure] = std::from_chars(text.data(), text.data() + text.size(), layer);
    if (failure != std::errc{} || layer < 0) return std::nullopt;
    const auto digits = static_cast<std::size_t>(end - text.data());
    if (digits >= text.size() || *end != '.' || (digits > 1 && text.front() == '0')) return std::nullopt;
    text.remove_prefix(digits + 1);
    return layer;
}

/// @param role_of  role for the spelling within a block (true) or outside (false)
template <typename RoleOf>
std::optional<TensorId> parse_name(std::string_view text, std::string_view block_prefix, RoleOf&& role_of) {
    TensorId id{};
    if (consume_suffix(text, ".bias"))
        id.is_bias = true;
    else if (!consume_suffix(text, ".weight"))
        return std::nullopt;

    const bool in_block = consume_prefix(text, block_prefix);
    if (in_block) {
        const std::optional<int> layer = consume_layer(text);
        if (!layer) return std::nullopt;
        id.layer = *layer;
    }
    const std::optional<TensorRole> role = text.empty() ? std::nullopt : role_of(text, in_block);
    if (!role) return std::nullopt;
    id.role = *role;
    return id;
}

std::optional<TensorRole> role_of(std::string_view text, bool in_block, std::string_view RoleName::* spelling) {
    for (const RoleName& name : kRoleNames)
        if (name.in_block == in_block && text == name.*spelling) return name.role;
    return std::nullopt;
}

std::string format_name(const TensorId& id, std::string_view block_prefix, std::string_view spelling) {
    const std::string_view kind = id.is_bias ? "bias" : "weight";
    if (id.layer < 0) return fmt::format("{}.{}", spelling, kind);
    return fmt::format("{}{}.{}.{}", block_prefix, id.layer, spelling, kind);
}

constexpr std::string_view kGgufBlock = "blk.";
constexpr std::string_view kHfBlock = "model.layers.";

std::optional<BlockName> split_name(std::string_view text, std::string_view block_prefix) {
    if (!consume_prefix(text, block_prefix)) return std::nullopt;
    const std::optional<int> layer = consume_layer(text);
    const std::size_t dot = text.rfind('.');
    if (!layer || dot == std::string_view::npos) return std::nullopt;
    return BlockName{*layer, text.substr(0, dot), text.substr(dot)};
}

}  // namespace

std::optional<TensorId> parse_gguf_name(std::string_view name) {
    return parse_name(name, kGgufBlock,
                      [](std::string_view text, bool in_block) { return role_of(text, in_block, &RoleName::gguf); });
}

std::string gguf_name(const TensorId& id) {
    return format_name(id, kGgufBlock, name_of(id.role).gguf);
}

std::optional<TensorId> parse_hf_name(std::string_view name, std::span<const RoleSpelling> spellings) {
    return parse_name(name, kHfBlock, [&](std::string_view text, bool in_block) -> std::optional<TensorRole> {
        if (!in_block) return role_of(text, in_block, &RoleName::hf);
        for (const RoleSpelling& own : spellings)
            if (own.hf == text) return own.role;
        const auto usual = role_of(text, in_block, &RoleName::hf);
        const bool is_renamed =
            std::ranges::any_of(spellings, [&](const RoleSpelling& own) { return own.role == usual; });
        return is_renamed ? std::nullopt : usual;
    });
}

std::string hf_name(const TensorId& id, std::span<const RoleSpelling> spellings) {
    for (const RoleSpelling& own : spellings)
        if (own.role == id.role) return format_name(id, kHfBlock, own.hf);
    const std::string_view spelling = name_of(id.role).hf;
    return format_name(id, kHfBlock, spelling.empty() ? name_of(id.role).gguf : spelling);
}

std::optional<BlockName> split_gguf_name(std::string_view name) {
    return split_name(name, kGgufBlock);
}

std::optional<BlockName> split_hf_name(std::string_view name) {
    return split_name(name, kHfBlock);
}

bool is_norm(TensorRole role) {
    return role == TensorRole::kOutputNorm || role == TensorRole::kAttentionNorm || role == TensorRole::kQueryNorm ||
           role == TensorRole::kKeyNorm || role == TensorRole::kAttentionPostNorm ||
           role == TensorRole::kFeedForwardNorm || role == TensorRole::kFeedForwardPostNorm;
}

bool is_attention(TensorRole role) {
    return role == TensorRole::kAttentionNorm || role == TensorRole::kQuery || role == TensorRole::kKey ||
           role == TensorRole::kQueryNorm || role == TensorRole::kKeyNorm || role == TensorRole::kValue ||
           role == TensorRole::kAttentionOutput || role == TensorRole::kAttentionPostNorm;
}

bool is_of_experts(TensorRole role) {
    return role == TensorRole::kExpertGates || role == TensorRole::kExpertUps || role == TensorRole::kExpertDowns;
}

bool is_matrix(const TensorId& id) {
    return !id.is_bias && name_of(id.role).is_matrix;
}

}  // namespace plasticity
