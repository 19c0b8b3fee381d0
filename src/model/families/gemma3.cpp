#include <fmt/format.h>

#include <cmath>
#include <nlohmann/json.hpp>

#include "model/attempt.h"
#include "model/config_fields.h"
#include "model/family.h"

// Gemma 3, text only: RMSNorm before and after attention and feed-forward part and over each query and key head, GELU,
// an embedding scaled by √n_embd, and a sliding window with a RoPE base of its own in all blocks but every sixth.
// Checkpoints store RMSNorm weights minus 1. Sources: transformers, modeling_gemma3.py; llama.cpp,
// src/models/gemma3.cpp and conversion/gemma.py.

namespace plasticity::families {
namespace {

constexpr std::int32_t kFullEvery = 6;  // where a file does not say
constexpr std::int32_t kBlocksOf27B = 62;

/// What stock llama.cpp derives, since no key says it.
float stock_attention_scale(const Architecture& architecture) {
    const std::int32_t n_head = architecture.layers.front().n_head;
    if (architecture.n_layer() != kBlocksOf27B || n_head < 1) return 0.0f;
    const std::int32_t width_per_head = architecture.n_embd / n_head;  // whole, as stock divides
    return 1.0f / std::sqrt(static_cast<float>(width_per_head));
}

void set_derived(Architecture& architecture) {
    architecture.multipliers.embedding = std::sqrt(static_cast<float>(architecture.n_embd));
    architecture.attention_scale = stock_attention_scale(architecture);
}

void read_window_config(const ConfigReader& config, Architecture& architecture) {
    SlidingWindow& window = architecture.window;
    window.n_tokens = config.count_or("sliding_window", 4096);
    window.full_every =
        config.count_or("sliding_window_pattern", config.count_or("_sliding_window_pattern", kFullEvery));
    window.rope_freq_base = config.real_or("rope_local_base_freq", 10000.0);
    attempt(config.problems(), [&] {
        const nlohmann::json* rope = field(config.json(), "rope_parameters");
        const nlohmann::json* local = rope ? field(*rope, "sliding_attention") : nullptr;
        if (!local) return;
        window.rope_freq_base = static_cast<float>(real_field(*local, "rope_theta").value_or(10000.0));
        if (const std::string type = rope_type_of(*local); type != "default")
            config.refuse(fmt::format("rope_parameters, sliding_attention: got type \"{}\"; expected default", type));
    });
    const std::vector<std::string> types = config.texts("layer_types");
    for (std::int32_t layer = 0; layer < static_cast<std::int32_t>(types.size()); ++layer)
        if (const std::string& type = types[static_cast<std::size_t>(layer)];
            type != (architecture.slides(layer) ? "sliding_attention" : "full_attention"))
            return config.refuse(
                fmt::format("layer_types: got \"{}\" for block {}; expected full_attention in every "
                            "block that {} divides, counted from 1, and sliding_attention elsewhere",
                            type, layer, window.full_every));
}

void read_config(const ConfigReader& config, Architecture& architecture) {
    read_window_config(config, architecture);
    set_derived(architecture);
    const float scale = 1.0f / std::sqrt(config.real_or("query_pre_attn_scalar", 256.0));
    const float expected = architecture.attention_scale != 0.0f
                               ? architecture.attention_scale
                               : 1.0f / std::sqrt(static_cast<float>(architecture.head_dim));
    if (!(std::abs(scale - expected) <= 1e-6f))
        config.refuse(fmt::format("query_pre_attn_scalar: got {}; stock llama.cpp knows only {}",
                                  config.real_or("query_pre_attn_scalar", 256.0), 1.0f / (expected * expected)));
    for (const std::string_view key : {"final_logit_softcapping", "attn_logit_softcapping"})
        if (config.contains(key)) config.refuse(fmt::format("{}: soft caps are not supported", key));
    if (config.flag_or("use_bidirectional_attention", false))
        config.refuse("use_bidirectional_attention: only causal attention is supported");
}

void write_config(const Architecture& architecture, nlohmann::json& config) {
    const float scale = architecture.attention_scale != 0.0f ? std::pow(architecture.attention_scale, -2.0f)
                                                             : static_cast<float>(architecture.head_dim);
    nlohmann::json types = nlohmann::json::array();
    for (std::int32_t layer = 0; layer < architecture.n_layer(); ++layer)
        types.push_back(architecture.slides(layer) ? "sliding_attention" : "full_attention");
    config.update({{"query_pre_attn_scalar", std::lround(scale)},
                   {"sliding_window", architecture.window.n_tokens},
                   {"sliding_window_pattern", architecture.window.full_every},
                   {"rope_local_base_freq", shortest_decimal(architecture.window.rope_freq_base)},
                   {"layer_types", types},
                   {"attention_bias", false}});
}

void read_keys(const ArchitectureKeys& keys, Architecture& architecture) {
    SlidingWindow& window = architecture.window;
    window.n_tokens = keys.count_or("attention.sliding_window", 0);
    window.rope_freq_base = keys.real_or("rope.freq_base_swa", 10000.0);
    window.full_every = kFullEvery;
    const std::string pattern = keys.key("attention.sliding_window_pattern");
    if (const GgufValue* value = keys.metadata().find(pattern); value && std::holds_alternative<GgufArray>(*value))
        keys.refuse(fmt::format("{}: got an array; expected a number", pattern));
    else if (value)
        window.full_every = keys.count("attention.sliding_window_pattern");
    set_derived(architecture);
    if (keys.real_or("final_logit_softcapping", 0.0) != 0.0f)
        keys.refuse(keys.key("final_logit_softcapping") + ": soft caps are not supported");
}

void write_keys(const Architecture& architecture, const ArchitectureKeyWriter& keys) {
    if (architecture.window.n_tokens == 0) return;
    keys.set_count("attention.sliding_window", architecture.window.n_tokens);
    keys.set_count("attention.sliding_window_pattern", architecture.window.full_every);
    keys.set("rope.freq_base_swa", architecture.window.rope_freq_base);
}

}  // namespace

const Family& gemma3() {
    static const Family family{
        .name = "Gemma 3",
        .gguf = "gemma3",
        .form = "gemma3",
        .model_type = "gemma3_text",
        .hf_class = "Gemma3ForCausalLM",
        .gguf_rope_layout = RopeLayout::kNeox,
        .features = {.activation = Activation::kGelu, .query_key_norms = true, .post_norms = true},
        .activation_key = "hidden_activation",
        .ignores_rope_factors = true,
        .norms_are_offsets = true,
        .scales_by_width = true,
        .has_windows = true,
        .hf_spellings = {{TensorRole::kAttentionPostNorm, "post_attention_layernorm"},
                         {TensorRole::kFeedForwardNorm, "pre_feedforward_layernorm"}},
        .read_config = read_config,
        .write_config = write_config,
        .read_keys = read_keys,
        .write_keys = write_keys,
    };
    return family;
}

}  // namespace plasticity::families
