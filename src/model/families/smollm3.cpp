#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "model/family.h"

// SmolLM 3: a llama whose every fourth block leaves queries and keys unrotated (NoPE). Sources: transformers,
// modeling_smollm3.py; llama.cpp, src/models/smollm3.cpp, which knows no other step than four and no frequency factors.

namespace plasticity::families {
namespace {

constexpr std::int32_t kStep = 4;

void read_config(const ConfigReader& config, Architecture& architecture) {
    // 1 where a block rotates, whatever the field's name suggests.
    const std::vector<std::int32_t> rotates = config.counts("no_rope_layers");
    if (rotates.empty()) {
        const std::int32_t step = config.count_or("no_rope_layer_interval", kStep);
        if (step != kStep)
            config.refuse(fmt::format("no_rope_layer_interval: got {}; stock llama.cpp knows only {}", step, kStep));
        return;
    }
    if (std::ssize(rotates) != architecture.n_layer())
        return config.refuse(fmt::format("no_rope_layers: got {} entries; expected one for each of {} blocks",
                                         rotates.size(), architecture.n_layer()));
    for (std::int32_t layer = 0; layer < architecture.n_layer(); ++layer)
        if ((rotates[static_cast<std::size_t>(layer)] != 0) != architecture.rotates(layer))
            return config.refuse(
                fmt::format("no_rope_layers: got {} for block {}; stock llama.cpp knows only every "
                            "fourth block without rotation",
                            rotates[static_cast<std::size_t>(layer)], layer));
}

void write_config(const Architecture& architecture, nlohmann::json& config) {
    nlohmann::json rotates = nlohmann::json::array();
    for (std::int32_t layer = 0; layer < architecture.n_layer(); ++layer)
        rotates.push_back(architecture.rotates(layer) ? 1 : 0);
    config.update({{"no_rope_layers", rotates},
                   {"no_rope_layer_interval", kStep},
                   {"use_sliding_window", false},
                   {"attention_bias", false},
                   {"mlp_bias", false}});
}

}  // namespace

const Family& smollm3() {
    static const Family family{
        .name = "SmolLM3",
        .gguf = "smollm3",
        .form = "smollm3",
        .model_type = "smollm3",
        .hf_class = "SmolLM3ForCausalLM",
        .gguf_rope_layout = RopeLayout::kNorm,
        .features = {.no_rope_every = kStep},
        .ignores_rope_factors = true,
        .read_config = read_config,
        .write_config = write_config,
    };
    return family;
}

}  // namespace plasticity::families
