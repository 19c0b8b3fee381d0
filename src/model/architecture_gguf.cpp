#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <utility>

#include "model/architecture.h"
#include "model/architecture_check.h"
#include "model/family.h"

// Keys and defaults that all families share: llama.cpp, src/llama-model.cpp (load_hparams).

namespace plasticity {
namespace {

std::vector<LayerGeometry> read_layers(const ArchitectureKeys& keys, std::int32_t n_layer) {
    const auto n = static_cast<std::size_t>(n_layer);
    const std::vector<std::int32_t> heads = keys.per_layer("attention.head_count", n);
    const std::vector<std::int32_t> kv_heads =
        keys.contains("attention.head_count_kv") ? keys.per_layer("attention.head_count_kv", n) : heads;
    const std::vector<std::int32_t> widths = keys.per_layer("feed_forward_length", n);

    std::vector<LayerGeometry> layers(n);
    for (std::size_t i = 0; i < n; ++i) layers[i] = {.n_head = heads[i], .n_head_kv = kv_heads[i], .n_ff = widths[i]};
    return layers;
}

std::int32_t read_head_dim(const ArchitectureKeys& keys, const Architecture& architecture, ProblemList& problems) {
    const std::int32_t n_head = architecture.layers.front().n_head;
    if (!keys.contains("attention.key_length") && (n_head < 1 || architecture.n_embd % n_head != 0)) {
        problems.add(fmt::format("{}: absent, and embedding width {} is not a multiple of {} heads",
                                 keys.key("attention.key_length"), architecture.n_embd, n_head));
        return 2;  // stands in, so that no further complaint follows from the absence
    }
    const std::int32_t head_dim =
        keys.contains("attention.key_length") ? keys.count("attention.key_length") : architecture.n_embd / n_head;
    const std::int32_t value_dim = keys.count_or("attention.value_length", head_dim);
    if (value_dim != head_dim)
        problems.add(fmt::format("{}: got {}; expected the {} of the keys", keys.key("attention.value_length"),
                                 value_dim, head_dim));
    return head_dim;
}

// The stock loader of these families reads no YaRN betas and no attention scale, so neither does this one.
RopeScaling read_rope_scaling(const ArchitectureKeys& keys, const Architecture& architecture, ProblemList& problems) {
    RopeScaling scaling;
    scaling.factor = keys.contains("rope.scaling.factor") ? keys.real_or("rope.scaling.factor", 1)
                                                          : keys.real_or("rope.scale_linear", 1);
    if (scaling.factor == 0) scaling.factor = 1;  // stock reads 0 as "none"
    scaling.attention_factor = keys.real_or("rope.scaling.attn_factor", 1);
    scaling.original_context_length =
        keys.count_or("rope.scaling.original_context_length", architecture.context_length);

    const std::string type = keys.text_or("rope.scaling.type", "linear");
    if (type == "yarn")
        scaling.kind = RopeScaling::Kind::kYarn;
    else if (type == "linear")
        scaling.kind = scaling.factor == 1 ? RopeScaling::Kind::kNone : RopeScaling::Kind::kLinear;
    else if (type != "none")
        problems.add(fmt::format("{}: got \"{}\"; expected none, linear or yarn", keys.key("rope.scaling.type"), type));
    if (scaling.kind == RopeScaling::Kind::kNone) scaling.factor = 1;
    return scaling;
}

std::int32_t read_vocabulary(const ArchitectureKeys& keys, const GgufMetadata& metadata, ProblemList& problems) {
    const std::vector<std::string>* tokens = nullptr;
    attempt(problems, [&] { tokens = metadata.array<std::string>("tokenizer.ggml.tokens"); });
    const std::int32_t n_vocab = keys.contains("vocab_size") || !tokens
                                     ? keys.count("vocab_size")
                                     : static_cast<std::int32_t>(std::min<std::size_t>(
                                           tokens->size(), std::numeric_limits<std::int32_t>::max()));
    if (tokens && std::cmp_not_equal(tokens->size(), n_vocab))
        problems.add(fmt::format("{}: got {}; expected the {} entries of tokenizer.ggml.tokens", keys.key("vocab_size"),
                                 n_vocab, tokens->size()));
    return n_vocab;
}

const Family& known_family(const std::string& name) {
    if (const Family* family = family_of_gguf(name)) return *family;
    throw Error(ErrorKind::kMalformed, fmt::format("general.architecture: got \"{}\"; this program knows {}", name,
                                                   supported_architectures()));
}

void write_rope_scaling(const RopeScaling& scaling, const ArchitectureKeyWriter& keys) {
    if (scaling.kind == RopeScaling::Kind::kNone) return;
    keys.set("rope.scaling.type", std::string(scaling.kind == RopeScaling::Kind::kYarn ? "yarn" : "linear"));
    keys.set("rope.scaling.factor", scaling.factor);
    if (scaling.attention_factor != 1) keys.set("rope.scaling.attn_factor", scaling.attention_factor);
    if (scaling.original_context_length > 0)
        keys.set_count("rope.scaling.original_context_length", scaling.original_context_length);
}

}  // namespace

Architecture architecture_from_gguf(const GgufMetadata& metadata, bool has_output_weight) {
    const Family& family = known_family(metadata.text("general.architecture"));
    ProblemList problems("metadata");
    const ArchitectureKeys keys(metadata, std::string(family.gguf), problems);
    Architecture architecture;
    architecture.name = family.form;
    architecture.features = family.features;

    const std::int32_t n_layer = keys.count("block_count");
    if (n_layer < 1 || n_layer > kMaxLayers) {
        problems.add(fmt::format("{}: got {}; expected 1 to {}", keys.key("block_count"), n_layer, kMaxLayers));
        problems.throw_if_any();
    }
    attempt(problems, [&] { architecture.model_name = metadata.text_or("general.name", ""); });
    architecture.n_embd = keys.count("embedding_length");
    architecture.context_length = keys.count("context_length");
    architecture.n_vocab = read_vocabulary(keys, metadata, problems);
    architecture.layers = read_layers(keys, n_layer);
    architecture.head_dim = read_head_dim(keys, architecture, problems);
    architecture.n_rot = keys.count_or("rope.dimension_count", architecture.head_dim);
    architecture.rms_norm_epsilon = keys.real("attention.layer_norm_rms_epsilon");
    architecture.rope_freq_base = keys.real_or("rope.freq_base", 10000.0);
    architecture.rope_scaling = read_rope_scaling(keys, architecture, problems);
    architecture.rope_layout = family.gguf_rope_layout;
    architecture.tied_embeddings = !has_output_weight;
    if (family.read_keys) family.read_keys(keys, architecture);
    if (keys.count_or("expert_count", 0) != architecture.experts.count)
        problems.add(fmt::format("{}: mixtures of experts are not supported in this family", keys.key("expert_count")));

    check_architecture(architecture, problems);
    problems.throw_if_any();
    return architecture;
}

void write_architecture(const Architecture& architecture, GgufMetadata& metadata) {
    const Family& family = family_of(architecture);
    const ArchitectureKeyWriter keys(metadata, architecture.name);
    // Some loaders take arrays, one entry a block; the others' take one number for all.
    const auto set_per_layer = [&](std::string_view name, std::int32_t LayerGeometry::* member) {
        if (!family.per_layer_counts) return keys.set_count(name, architecture.layers.front().*member);
        std::vector<std::int32_t> values;
        for (const LayerGeometry& layer : architecture.layers) values.push_back(layer.*member);
        keys.set(name, GgufArray(std::move(values)));
    };

    keys.set_count("block_count", architecture.n_layer());
    keys.set_count("context_length", architecture.context_length);
    keys.set_count("embedding_length", architecture.n_embd);
    set_per_layer("feed_forward_length", &LayerGeometry::n_ff);
    set_per_layer("attention.head_count", &LayerGeometry::n_head);
    set_per_layer("attention.head_count_kv", &LayerGeometry::n_head_kv);
    keys.set_count("attention.key_length", architecture.head_dim);
    keys.set_count("attention.value_length", architecture.head_dim);
    keys.set("attention.layer_norm_rms_epsilon", architecture.rms_norm_epsilon);
    keys.set("rope.freq_base", architecture.rope_freq_base);
    keys.set_count("rope.dimension_count", architecture.n_rot);
    keys.set_count("vocab_size", architecture.n_vocab);

    write_rope_scaling(architecture.rope_scaling, keys);
    if (family.write_keys) family.write_keys(architecture, keys);
}

}  // namespace plasticity
