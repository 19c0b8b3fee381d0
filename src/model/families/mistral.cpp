#include <algorithm>

#include "model/family.h"

// Mistral's folders: a llama, in its first version with a sliding window over all blocks. Stock llama.cpp knows no
// window in a llama; within its length it changes nothing, so that is how long the context may be.
// Sources: transformers, modeling_mistral.py; llama.cpp, conversion/llama.py.

namespace plasticity::families {
namespace {

void read_config(const ConfigReader& config, Architecture& architecture) {
    if (const std::int32_t window = config.count_or("sliding_window", 0); window > 0)
        architecture.context_length = std::min(architecture.context_length, window);
}

}  // namespace

const Family& mistral() {
    static const Family family{
        .name = "Mistral",
        .form = "llama",
        .model_type = "mistral",
        .hf_class = "MistralForCausalLM",
        .has_windows = true,
        .read_config = read_config,
    };
    return family;
}

}  // namespace plasticity::families
