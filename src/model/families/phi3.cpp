#include <algorithm>

#include "model/family.h"

// Phi 3 and 4: once its fused matrices are taken apart, and as long as whole heads are rotated without LongRoPE, the
// graph is a llama's. So it is read as one, and written as one: stock llama.cpp's phi3 takes neither other head counts
// nor a type for each matrix. Its window, which stock llama.cpp leaves aside, bounds the context: within it nothing
// changes. Sources: transformers, modeling_phi3.py; llama.cpp, src/models/phi3.cpp and conversion/phi.py.

namespace plasticity::families {
namespace {

void bound_context(Architecture& architecture, std::int32_t window) {
    if (window > 0) architecture.context_length = std::min(architecture.context_length, window);
}

void read_config(const ConfigReader& config, Architecture& architecture) {
    bound_context(architecture, config.count_or("sliding_window", 0));
}

void read_keys(const ArchitectureKeys& keys, Architecture& architecture) {
    bound_context(architecture, keys.count_or("attention.sliding_window", 0));
}

}  // namespace

const Family& phi3() {
    static const Family family{
        .name = "Phi 3",
        .gguf = "phi3",
        .form = "llama",
        .model_type = "phi3",
        .hf_class = "Phi3ForCausalLM",
        .gguf_rope_layout = RopeLayout::kNeox,
        .has_windows = true,
        .fused = {{"attn_qkv", "self_attn.qkv_proj", {TensorRole::kQuery, TensorRole::kKey, TensorRole::kValue}},
                  {"ffn_up", "mlp.gate_up_proj", {TensorRole::kGate, TensorRole::kUp}}},
        .read_config = read_config,
        .read_keys = read_keys,
    };
    return family;
}

}  // namespace plasticity::families
