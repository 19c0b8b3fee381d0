#include <nlohmann/json.hpp>

#include "model/family.h"

// Qwen 3: RMSNorm over each query and key head in place of qwen2's biases. Sources: transformers, modeling_qwen3.py;
// llama.cpp, src/models/qwen3.cpp.

namespace plasticity::families {
namespace {

void write_config(const Architecture&, nlohmann::json& config) {
    config.update({{"attention_bias", false}, {"use_sliding_window", false}});
}

}  // namespace

const Family& qwen3() {
    static const Family family{
        .name = "Qwen3",
        .gguf = "qwen3",
        .form = "qwen3",
        .model_type = "qwen3",
        .hf_class = "Qwen3ForCausalLM",
        .gguf_rope_layout = RopeLayout::kNeox,
        .features = {.query_key_norms = true},
        .ignores_rope_factors = true,
        .write_config = write_config,
    };
    return family;
}

}  // namespace plasticity::families
