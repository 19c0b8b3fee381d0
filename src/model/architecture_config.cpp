#include <fmt/format.h>

#include <cmath>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "model/architecture.h"
#include "model/architecture_check.h"
#include "model/config_fields.h"

// Field names and defaults: transformers, configuration_llama.py, configuration_qwen2.py and modeling_rope_utils.py.

namespace plasticity {
namespace {

/// YaRN's own factor on q·k, which ggml applies by itself; GGUF's attn_factor multiplies it.
double yarn_attention_factor(double factor) {
    return 1.0 + 0.1 * std::log(factor);
}

/// The shortest decimal that reads back as the same float: 1e-05, not 9.999999747378752e-06.
double shortest(float value) {
    return std::stod(fmt::format("{}", value));
}

std::int32_t required_count(const nlohmann::json& config, std::string_view key, ProblemList& problems) {
    std::int32_t value = 0;
    attempt(problems, [&] {
        const auto found = integer_field(config, key);
        if (!found) throw Error(ErrorKind::kMalformed, fmt::format("{}: absent; expected an integer", key));
        value = *found;
    });
    return value;
}

std::int32_t count_or(const nlohmann::json& config, std::string_view key, std::int32_t fallback,
                      ProblemList& problems) {
    attempt(problems, [&] { fallback = integer_field(config, key).value_or(fallback); });
    return fallback;
}

float real_or(const nlohmann::json& config, std::string_view key, double fallback, ProblemList& problems) {
    attempt(problems, [&] { fallback = real_field(config, key).value_or(fallback); });
    return static_cast<float>(fallback);
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

std::string read_model_type(const nlohmann::json& config) {
    const std::string type = text_field(config, "model_type").value_or("");
    if (type == "llama" || type == "qwen2") return type;
    throw Error(
        ErrorKind::kMalformed,
        fmt::format("model_type: got \"{}\"; this program knows llama and qwen2 in Hugging Face folders", type));
}

void refuse_other_graphs(const nlohmann::json& config, ProblemList& problems) {
    attempt(problems, [&] {
        if (const auto activation = text_field(config, "hidden_act").value_or("silu"); activation != "silu")
            problems.add(fmt::format("hidden_act: got \"{}\"; expected silu", activation));
    });
    attempt(problems, [&] {
        if (boolean_field(config, "use_sliding_window").value_or(false))
            problems.add("use_sliding_window: sliding windows are not supported");
    });
    if (const nlohmann::json* types = field(config, "layer_types"); types && types->is_array())
        for (const nlohmann::json& type : *types)
            if (type != "full_attention") {
                problems.add("layer_types: only full_attention is supported");
                break;
            }
    if (const nlohmann::json* quantization = field(config, "quantization_config"))
        attempt(problems, [&] {
            problems.add(fmt::format("quantization_config: weights quantised by {} cannot be read; use the original",
                                     text_field(*quantization, "quant_method").value_or("an unnamed method")));
        });
    attempt(problems, [&] {
        const nlohmann::json* rope = rope_fields(config);
        const double rotated = real_field(rope ? *rope : config, "partial_rotary_factor")
                                   .value_or(real_field(config, "partial_rotary_factor").value_or(1.0));
        if (rotated != 1) problems.add(fmt::format("partial_rotary_factor: got {}; expected 1", rotated));
    });
}

}  // namespace

Architecture architecture_from_config(const nlohmann::json& config) {
    if (!config.is_object()) throw Error(ErrorKind::kMalformed, "config.json: expected an object");
    Architecture architecture;
    architecture.name = read_model_type(config);
    ProblemList problems("config.json");

    const std::int32_t n_layer = required_count(config, "num_hidden_layers", problems);
    const std::int32_t n_head = required_count(config, "num_attention_heads", problems);
    architecture.n_embd = required_count(config, "hidden_size", problems);
    architecture.n_vocab = required_count(config, "vocab_size", problems);
    architecture.context_length = count_or(config, "max_position_embeddings", 2048, problems);
    if (!field(config, "head_dim") && n_head > 0 && architecture.n_embd % n_head != 0)
        problems.add(fmt::format("hidden_size: got {}; expected a multiple of num_attention_heads {}, or a head_dim",
                                 architecture.n_embd, n_head));
    architecture.head_dim = count_or(config, "head_dim", n_head > 0 ? architecture.n_embd / n_head : 0, problems);
    architecture.n_rot = architecture.head_dim;
    if (n_layer >= 1 && n_layer <= kMaxLayers)
        architecture.layers.assign(static_cast<std::size_t>(n_layer),
                                   {.n_head = n_head,
                                    .n_head_kv = count_or(config, "num_key_value_heads", n_head, problems),
                                    .n_ff = required_count(config, "intermediate_size", problems)});
    else
        problems.add(fmt::format("num_hidden_layers: got {}; expected 1 to {}", n_layer, kMaxLayers));
    architecture.rms_norm_epsilon = real_or(config, "rms_norm_eps", 1e-6, problems);
    attempt(problems, [&] {
        const nlohmann::json* rope = rope_fields(config);
        const double usual = real_field(config, "rope_theta").value_or(10000.0);
        architecture.rope_freq_base =
            static_cast<float>(rope ? real_field(*rope, "rope_theta").value_or(usual) : usual);
    });
    attempt(problems, [&] { architecture.rope_scaling = read_rope_scaling(config, architecture.context_length); });
    attempt(problems,
            [&] { architecture.tied_embeddings = boolean_field(config, "tie_word_embeddings").value_or(false); });
    attempt(problems, [&] {
        const std::filesystem::path origin = text_field(config, "_name_or_path").value_or("");
        architecture.model_name = origin.filename().string();
    });
    architecture.rope_layout = RopeLayout::kNeox;
    refuse_other_graphs(config, problems);

    if (problems.empty()) check_architecture(architecture, problems);
    problems.throw_if_any();
    return architecture;
}

nlohmann::json config_from_architecture(const Architecture& architecture) {
    if (!architecture.is_uniform())
        throw Error(ErrorKind::kUsage,
                    "export: blocks differ in heads or feed-forward width, which config.json cannot say; "
                    "keep this model as GGUF");
    const bool is_qwen2 = architecture.name == "qwen2";
    const LayerGeometry& layer = architecture.layers.front();
    nlohmann::json config{
        {"architectures", {is_qwen2 ? "Qwen2ForCausalLM" : "LlamaForCausalLM"}},
        {"model_type", is_qwen2 ? "qwen2" : "llama"},
        {"hidden_act", "silu"},
        {"hidden_size", architecture.n_embd},
        {"intermediate_size", layer.n_ff},
        {"num_hidden_layers", architecture.n_layer()},
        {"num_attention_heads", layer.n_head},
        {"num_key_value_heads", layer.n_head_kv},
        {"head_dim", architecture.head_dim},
        {"max_position_embeddings", architecture.context_length},
        {"rms_norm_eps", shortest(architecture.rms_norm_epsilon)},
        {"rope_theta", shortest(architecture.rope_freq_base)},
        {"rope_scaling", nullptr},
        {"tie_word_embeddings", architecture.tied_embeddings},
        {"vocab_size", architecture.n_vocab},
        {"use_cache", true},
    };
    if (!is_qwen2) config.update({{"attention_bias", false}, {"mlp_bias", false}});

    const RopeScaling& scaling = architecture.rope_scaling;
    if (scaling.kind == RopeScaling::Kind::kLinear)
        config["rope_scaling"] = {{"rope_type", "linear"}, {"factor", shortest(scaling.factor)}};
    if (scaling.kind == RopeScaling::Kind::kYarn) {
        config["rope_scaling"] = {{"rope_type", "yarn"},
                                  {"factor", shortest(scaling.factor)},
                                  {"original_max_position_embeddings", scaling.original_context_length}};
        if (scaling.attention_factor != 1)
            config["rope_scaling"]["attention_factor"] =
                scaling.attention_factor * yarn_attention_factor(scaling.factor);
    }
    return config;
}

}  // namespace plasticity
