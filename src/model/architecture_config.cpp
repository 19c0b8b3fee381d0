#include <fmt/format.h>

#include <cmath>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "model/architecture.h"
#include "model/architecture_check.h"
#include "model/config_fields.h"
#include "model/family.h"
#include "model/fp8_scheme.h"

// Field names and defaults: transformers, configuration_llama.py and modeling_rope_utils.py; what differs from family
// to family stands in families/.

namespace plasticity {
namespace {

/// YaRN's own factor on q·k, which ggml applies by itself; GGUF's attn_factor multiplies it.
double yarn_attention_factor(double factor) {
    return 1.0 + 0.1 * std::log(factor);
}

RopeScaling read_yarn(const nlohmann::json& rope, const nlohmann::json& config, std::int32_t context_length) {
    RopeScaling scaling{.kind = RopeScaling::Kind::kYarn};
    const double factor = real_field(rope, "factor").value_or(1.0);
    scaling.factor = static_cast<float>(factor);
    scaling.original_context_length =
        integer_field(rope, "original_max_position_embeddings")
            .value_or(integer_field(config, "original_max_position_embeddings").value_or(context_length));
    if (const auto attention = real_field(rope, "attention_factor"))
        scaling.attention_factor = static_cast<float>(*attention / yarn_attention_factor(factor));
    for (const auto& [key, usual] : {std::pair{"beta_fast", 32.0}, {"beta_slow", 1.0}})
        if (const double beta = real_field(rope, key).value_or(usual); beta != usual)
            throw Error(ErrorKind::kMalformed,
                        fmt::format("rope_scaling yarn: got {} {}; stock llama.cpp knows only {} in these families",
                                    key, beta, usual));
    for (const std::string_view key : {"mscale", "mscale_all_dim"})
        if (field(rope, key))
            throw Error(ErrorKind::kMalformed, fmt::format("rope_scaling yarn: {} is not supported", key));
    return scaling;
}

RopeScaling read_rope_scaling(const nlohmann::json& config, std::int32_t context_length) {
    const nlohmann::json* rope = rope_fields(config);
    if (!rope) return {};
    const std::string type = rope_type_of(*rope);
    if (type == "yarn") return read_yarn(*rope, config, context_length);
    if (type == "linear") {
        const auto factor = static_cast<float>(real_field(*rope, "factor").value_or(1.0));
        return {.kind = factor == 1 ? RopeScaling::Kind::kNone : RopeScaling::Kind::kLinear,
                .factor = factor,
                .original_context_length = context_length};
    }
    // llama3 becomes a tensor of frequency divisors (rope_factors.h), not a scaling.
    if (type == "default" || type == "llama3") return {.original_context_length = context_length};
    throw Error(ErrorKind::kMalformed,
                fmt::format("rope_scaling: got type \"{}\"; expected default, linear, yarn or llama3", type));
}

std::string_view activation_name(Activation activation) {
    return activation == Activation::kGelu ? "gelu_pytorch_tanh" : "silu";
}

void refuse_windows(const ConfigReader& config) {
    if (config.flag_or("use_sliding_window", false))
        config.refuse("use_sliding_window: sliding windows are not supported in this family");
    for (const std::string& type : config.texts("layer_types"))
        if (type != "full_attention")
            return config.refuse(fmt::format("layer_types: got \"{}\"; only full_attention is supported", type));
}

void refuse_other_graphs(const ConfigReader& config, const Family& family) {
    const std::string_view expected = activation_name(family.features.activation);
    if (const std::string got = config.text_or(family.activation_key, expected); got != expected)
        config.refuse(fmt::format("{}: got \"{}\"; expected {}", family.activation_key, got, expected));
    if (!family.has_windows) refuse_windows(config);
    attempt(config.problems(), [&] { (void)fp8_scheme_from_config(config.json()); });
    attempt(config.problems(), [&] {
        const nlohmann::json* rope = rope_fields(config.json());
        const double rotated = real_field(rope ? *rope : config.json(), "partial_rotary_factor")
                                   .value_or(real_field(config.json(), "partial_rotary_factor").value_or(1.0));
        if (rotated != 1) config.refuse(fmt::format("partial_rotary_factor: got {}; expected 1", rotated));
    });
}

void read_layers(const ConfigReader& config, Architecture& architecture) {
    const std::int32_t n_layer = config.count("num_hidden_layers");
    const std::int32_t n_head = config.count("num_attention_heads");
    if (!config.contains("head_dim") && n_head > 0 && architecture.n_embd % n_head != 0)
        config.refuse(fmt::format("hidden_size: got {}; expected a multiple of num_attention_heads {}, or a head_dim",
                                  architecture.n_embd, n_head));
    architecture.head_dim = config.count_or("head_dim", n_head > 0 ? architecture.n_embd / n_head : 0);
    architecture.n_rot = architecture.head_dim;
    if (n_layer >= 1 && n_layer <= kMaxLayers)
        architecture.layers.assign(static_cast<std::size_t>(n_layer),
                                   {.n_head = n_head,
                                    .n_head_kv = config.count_or("num_key_value_heads", n_head),
                                    .n_ff = config.count("intermediate_size")});
    else
        config.refuse(fmt::format("num_hidden_layers: got {}; expected 1 to {}", n_layer, kMaxLayers));
}

void read_rope(const ConfigReader& config, Architecture& architecture) {
    attempt(config.problems(), [&] {
        const nlohmann::json* rope = rope_fields(config.json());
        const double usual = real_field(config.json(), "rope_theta").value_or(10000.0);
        architecture.rope_freq_base =
            static_cast<float>(rope ? real_field(*rope, "rope_theta").value_or(usual) : usual);
    });
    attempt(config.problems(),
            [&] { architecture.rope_scaling = read_rope_scaling(config.json(), architecture.context_length); });
    architecture.rope_layout = RopeLayout::kNeox;
}

void write_rope_scaling(const RopeScaling& scaling, nlohmann::json& config) {
    if (scaling.kind == RopeScaling::Kind::kLinear)
        config["rope_scaling"] = {{"rope_type", "linear"}, {"factor", shortest_decimal(scaling.factor)}};
    if (scaling.kind != RopeScaling::Kind::kYarn) return;
    config["rope_scaling"] = {{"rope_type", "yarn"},
                              {"factor", shortest_decimal(scaling.factor)},
                              {"original_max_position_embeddings", scaling.original_context_length}};
    if (scaling.attention_factor != 1)
        config["rope_scaling"]["attention_factor"] = scaling.attention_factor * yarn_attention_factor(scaling.factor);
}

}  // namespace

Architecture architecture_from_config(const nlohmann::json& json) {
    if (!json.is_object()) throw Error(ErrorKind::kMalformed, "config.json: expected an object");
    const Family& family = family_of_config(json);
    ProblemList problems("config.json");
    const ConfigReader config(json, problems);

    Architecture architecture;
    architecture.name = family.form;
    architecture.features = family.features;
    architecture.model_name = std::filesystem::path(config.text_or("_name_or_path", "")).filename().string();
    architecture.n_embd = config.count("hidden_size");
    architecture.n_vocab = config.count("vocab_size");
    architecture.context_length = config.count_or("max_position_embeddings", 2048);
    architecture.rms_norm_epsilon = config.real_or("rms_norm_eps", 1e-6);
    architecture.tied_embeddings = config.flag_or("tie_word_embeddings", false);
    read_layers(config, architecture);
    read_rope(config, architecture);
    refuse_other_graphs(config, family);
    if (problems.empty() && family.read_config) family.read_config(config, architecture);

    if (problems.empty()) check_architecture(architecture, problems);
    problems.throw_if_any();
    return architecture;
}

nlohmann::json config_from_architecture(const Architecture& architecture) {
    if (!architecture.is_uniform())
        throw Error(ErrorKind::kUsage,
                    "export: blocks differ in heads or feed-forward width, which config.json cannot say; "
                    "keep this model as GGUF");
    const Family& family = family_of(architecture);
    const LayerGeometry& layer = architecture.layers.front();
    nlohmann::json config{
        {"architectures", {family.hf_class}},
        {"model_type", family.model_type},
        {family.activation_key, activation_name(architecture.features.activation)},
        {"hidden_size", architecture.n_embd},
        {"intermediate_size", layer.n_ff},
        {"num_hidden_layers", architecture.n_layer()},
        {"num_attention_heads", layer.n_head},
        {"num_key_value_heads", layer.n_head_kv},
        {"head_dim", architecture.head_dim},
        {"max_position_embeddings", architecture.context_length},
        {"rms_norm_eps", shortest_decimal(architecture.rms_norm_epsilon)},
        {"rope_theta", shortest_decimal(architecture.rope_freq_base)},
        {"rope_scaling", nullptr},
        {"tie_word_embeddings", architecture.tied_embeddings},
        {"vocab_size", architecture.n_vocab},
        {"use_cache", true},
    };
    write_rope_scaling(architecture.rope_scaling, config);
    if (family.write_config) family.write_config(architecture, config);
    return config;
}

}  // namespace plasticity
