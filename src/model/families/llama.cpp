#include <nlohmann/json.hpp>

#include "model/family.h"

// Llama 1 to 3, and all that is built like them. Sources: transformers, modeling_llama.py; llama.cpp,
// src/models/llama.cpp.

namespace plasticity::families {
namespace {

void write_config(const Architecture&, nlohmann::json& config) {
    config.update({{"attention_bias", false}, {"mlp_bias", false}});
}

}  // namespace

const Family& llama() {
    static const Family family{
        .name = "Llama",
        .gguf = "llama",
        .form = "llama",
        .model_type = "llama",
        .hf_class = "LlamaForCausalLM",
        .gguf_rope_layout = RopeLayout::kNorm,
        .biased_export_type = "qwen2",
        .write_config = write_config,
    };
    return family;
}

}  // namespace plasticity::families
