#include <fmt/format.h>

#include "model/family.h"

// Qwen 3's mixtures of experts: a qwen3 with a router and many small feed-forward parts in every block. Planned and
// compressed here, run by llama.cpp. Sources: transformers, modeling_qwen3_moe.py; llama.cpp, src/models/qwen3moe.cpp,
// whose graph always normalises the weights of the chosen experts.

namespace plasticity::families {
namespace {

void read_config(const ConfigReader& config, Architecture& architecture) {
    // transformers 4 and 5 call it differently.
    const std::string_view count_key = config.contains("num_experts") ? "num_experts" : "num_local_experts";
    architecture.experts = {.count = config.count(count_key),
                            .used = config.count("num_experts_per_tok"),
                            .n_ff = config.count("moe_intermediate_size")};
    if (architecture.experts.count < 1)
        config.refuse(fmt::format("{}: got {}; expected at least 1", count_key, architecture.experts.count));
    if (!config.flag_or("norm_topk_prob", false))
        config.refuse("norm_topk_prob: got false; stock llama.cpp knows only true");
    if (const std::int32_t step = config.count_or("decoder_sparse_step", 1); step != 1)
        config.refuse(fmt::format("decoder_sparse_step: got {}; expected experts in every block", step));
    if (!config.counts("mlp_only_layers").empty())
        config.refuse("mlp_only_layers: expected none: stock llama.cpp has experts in every block");
}

void read_keys(const ArchitectureKeys& keys, Architecture& architecture) {
    Experts& experts = architecture.experts;
    experts.count = keys.count("expert_count");
    experts.used = keys.count("expert_used_count");
    const std::int32_t shared_out = experts.used > 0 ? architecture.layers.front().n_ff / experts.used : 0;
    experts.n_ff = keys.count_or("expert_feed_forward_length", shared_out);
    if (experts.count < 1)
        keys.refuse(fmt::format("{}: got {}; expected at least 1", keys.key("expert_count"), experts.count));
}

void write_keys(const Architecture& architecture, const ArchitectureKeyWriter& keys) {
    keys.set_count("expert_count", architecture.experts.count);
    keys.set_count("expert_used_count", architecture.experts.used);
    keys.set_count("expert_feed_forward_length", architecture.experts.n_ff);
}

}  // namespace

const Family& qwen3moe() {
    static const Family family{
        .name = "Qwen3 MoE",
        .gguf = "qwen3moe",
        .form = "qwen3moe",
        .model_type = "qwen3_moe",
        .hf_class = "Qwen3MoeForCausalLM",
        .gguf_rope_layout = RopeLayout::kNeox,
        .features = {.query_key_norms = true},
        .ignores_rope_factors = true,
        .read_config = read_config,
        .read_keys = read_keys,
        .write_keys = write_keys,
    };
    return family;
}

}  // namespace plasticity::families
