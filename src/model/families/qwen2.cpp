#include "model/family.h"

// Qwen 2 and 2.5: a llama with biases on queries, keys and values. Sources: transformers, modeling_qwen2.py; llama.cpp,
// src/models/qwen2.cpp, whose loader takes no head counts that do not fill the embedding width.

namespace plasticity::families {

const Family& qwen2() {
    static const Family family{
        .name = "Qwen2",
        .gguf = "qwen2",
        .form = "qwen2",
        .model_type = "qwen2",
        .hf_class = "Qwen2ForCausalLM",
        .gguf_rope_layout = RopeLayout::kNeox,
        .heads_fill_embedding = true,
        .export_type = "llama",
        .biased_export_type = "qwen2",
    };
    return family;
}

}  // namespace plasticity::families
