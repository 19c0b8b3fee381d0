#include "model/tensor_names.h"

#include <fmt/format.h>

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
constexpr std::array kNames{
    RoleName{TensorRole::kTokenEmbedding, "token_embd", "model.embed_tokens", false, true},
    RoleName{TensorRole::kOutputNorm, "output_norm", "model.norm", false, false},
    RoleName{TensorRole::kOutput, "output", "lm_head", false, true},
    RoleName{TensorRole::kRopeFrequencies, "rope_freqs", "", false, false},
    RoleName{TensorRole::kAttentionNorm, "attn_norm", "input_layernorm", true, false},
    RoleName{TensorRole::kQuery, "attn_q", "self_attn.q_proj", true, true},
    RoleName{TensorRole::kKey, "attn_k", "self_attn.k_proj", true, true},
    RoleName{TensorRole::kValue, "attn_v", "self_attn.v_proj", true, true},
    RoleName{TensorRole::kAttentionOutput, "attn_output", "self_attn.o_proj", true, true},
    RoleName{TensorRole::kFeedForwardNorm, "ffn_norm", "post_attention_layernorm", true, false},
    RoleName{TensorRole::kGate, "ffn_gate", "mlp.gate_proj", true, true},
    RoleName{TensorRole::kUp, "ffn_up", "mlp.up_proj", true, true},
    RoleName{TensorRole::kDown, "ffn_down", "mlp.down_proj", true, true},
};

const RoleName& name_of(TensorRole role) {
    for (const RoleName& name : kNames)
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

std::optional<TensorId> parse_name(std::string_view text, std::string_view block_prefix,
                                   std::string_view RoleName::* spelling) {
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
    for (const RoleName& name : kNames)
        if (name.in_block == in_block && text == name.*spelling && !text.empty()) {
            id.role = name.role;
            return id;
        }
    return std::nullopt;
}

std::string format_name(const TensorId& id, std::string_view block_prefix, std::string_view spelling) {
    const std::string_view kind = id.is_bias ? "bias" : "weight";
    if (id.layer < 0) return fmt::format("{}.{}", spelling, kind);
    return fmt::format("{}{}.{}.{}", block_prefix, id.layer, spelling, kind);
}

constexpr std::string_view kGgufBlock = "blk.";
constexpr std::string_view kHfBlock = "model.layers.";

}  // namespace

std::optional<TensorId> parse_gguf_name(std::string_view name) {
    return parse_name(name, kGgufBlock, &RoleName::gguf);
}

std::string gguf_name(const TensorId& id) {
    return format_name(id, kGgufBlock, name_of(id.role).gguf);
}

std::optional<TensorId> parse_hf_name(std::string_view name) {
    return parse_name(name, kHfBlock, &RoleName::hf);
}

std::string hf_name(const TensorId& id) {
    const std::string_view spelling = name_of(id.role).hf;
    return format_name(id, kHfBlock, spelling.empty() ? name_of(id.role).gguf : spelling);
}

bool is_matrix(const TensorId& id) {
    return !id.is_bias && name_of(id.role).is_matrix;
}

}  // namespace plasticity
