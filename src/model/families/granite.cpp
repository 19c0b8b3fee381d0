#include <nlohmann/json.hpp>

#include "model/config_fields.h"
#include "model/family.h"

// Granite 3: a llama with four constant factors. Sources: transformers, modeling_granite.py; llama.cpp,
// src/models/granite.cpp, whose graph divides logits by `logit_scale`.

namespace plasticity::families {
namespace {

void read_config(const ConfigReader& config, Architecture& architecture) {
    architecture.multipliers = {.embedding = config.real_or("embedding_multiplier", 1.0),
                                .residual = config.real_or("residual_multiplier", 1.0),
                                .logit_divisor = config.real_or("logits_scaling", 1.0)};
    architecture.attention_scale = config.real_or("attention_multiplier", 1.0);
}

void write_config(const Architecture& architecture, nlohmann::json& config) {
    const Multipliers& factors = architecture.multipliers;
    config.update({{"embedding_multiplier", shortest_decimal(factors.embedding)},
                   {"residual_multiplier", shortest_decimal(factors.residual)},
                   {"logits_scaling", shortest_decimal(factors.logit_divisor)},
                   {"attention_multiplier", shortest_decimal(architecture.attention_scale)},
                   {"attention_bias", false},
                   {"mlp_bias", false}});
}

// Stock reads 0 and absence alike as "none".
float factor_or_one(const ArchitectureKeys& keys, std::string_view name) {
    const float factor = keys.real_or(name, 1.0);
    return factor == 0.0f ? 1.0f : factor;
}

void read_keys(const ArchitectureKeys& keys, Architecture& architecture) {
    architecture.multipliers = {.embedding = factor_or_one(keys, "embedding_scale"),
                                .residual = factor_or_one(keys, "residual_scale"),
                                .logit_divisor = keys.real("logit_scale")};
    architecture.attention_scale = keys.real_or("attention.scale", 0.0);
    if (!keys.metadata().boolean_or(keys.key("rope.scaling.finetuned"), true))
        keys.refuse(keys.key("rope.scaling.finetuned") + ": got false, a granite without RoPE; it is not supported");
}

void write_keys(const Architecture& architecture, const ArchitectureKeyWriter& keys) {
    keys.set("embedding_scale", architecture.multipliers.embedding);
    keys.set("residual_scale", architecture.multipliers.residual);
    keys.set("logit_scale", architecture.multipliers.logit_divisor);
    if (architecture.attention_scale != 0.0f) keys.set("attention.scale", architecture.attention_scale);
}

}  // namespace

const Family& granite() {
    static const Family family{
        .name = "Granite",
        .gguf = "granite",
        .form = "granite",
        .model_type = "granite",
        .hf_class = "GraniteForCausalLM",
        .gguf_rope_layout = RopeLayout::kNorm,
        .read_config = read_config,
        .write_config = write_config,
        .read_keys = read_keys,
        .write_keys = write_keys,
    };
    return family;
}

}  // namespace plasticity::families
