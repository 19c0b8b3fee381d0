#include <fmt/format.h>

#include <algorithm>
#include <limits>

#include "model/architecture.h"
#include "model/architecture_check.h"

// Keys and defaults: llama.cpp, src/llama-model.cpp (load_hparams) and src/models/{llama,qwen2,deci}.cpp.

namespace plasticity {
namespace {

std::int32_t to_int32(std::string_view key, std::int64_t value) {
    if (value < std::numeric_limits<std::int32_t>::min() || value > std::numeric_limits<std::int32_t>::max())
        throw Error(ErrorKind::kMalformed, fmt::format("{}: got {}, which no model can have", key, value));
    return static_cast<std::int32_t>(value);
}

/// `<arch>.*` keys of one file; what cannot be read becomes a problem and the fallback.
class ArchitectureKeys {
public:
    ArchitectureKeys(const GgufMetadata& metadata, std::string prefix, ProblemList& problems)
        : metadata_(metadata), prefix_(std::move(prefix)), problems_(problems) {}

    std::string key(std::string_view name) const { return fmt::format("{}.{}", prefix_, name); }
    bool contains(std::string_view name) const { return metadata_.contains(key(name)); }

    std::int32_t count(std::string_view name) const {
        std::int32_t value = 0;
        attempt(problems_, [&] { value = to_int32(key(name), metadata_.integer(key(name))); });
        return value;
    }
    std::int32_t count_or(std::string_view name, std::int32_t fallback) const {
        return contains(name) ? count(name) : fallback;
    }
    float real_or(std::string_view name, double fallback) const {
        double value = fallback;
        attempt(problems_, [&] { value = metadata_.real_or(key(name), fallback); });
        return static_cast<float>(value);
    }
    std::vector<std::int32_t> per_layer(std::string_view name, std::size_t n_layer) const {
        std::vector<std::int32_t> counts(n_layer, 0);
        attempt(problems_, [&] {
            const std::vector<std::int64_t> values = metadata_.integers_per_layer(key(name), n_layer);
            for (std::size_t i = 0; i < n_layer; ++i) counts[i] = to_int32(key(name), values.at(i));
        });
        return counts;
    }

private:
    const GgufMetadata& metadata_;
    std::string prefix_;
    ProblemList& problems_;
};

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
RopeScaling read_rope_scaling(const ArchitectureKeys& keys, const GgufMetadata& metadata,
                              const Architecture& architecture, ProblemList& problems) {
    RopeScaling scaling;
    scaling.factor = keys.contains("rope.scaling.factor") ? keys.real_or("rope.scaling.factor", 1)
                                                          : keys.real_or("rope.scale_linear", 1);
    if (scaling.factor == 0) scaling.factor = 1;  // stock reads 0 as "none"
    scaling.attention_factor = keys.real_or("rope.scaling.attn_factor", 1);
    scaling.original_context_length =
        keys.count_or("rope.scaling.original_context_length", architecture.context_length);

    std::string type = "linear";
    attempt(problems, [&] { type = metadata.text_or(keys.key("rope.scaling.type"), type); });
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

void refuse_other_graphs(const ArchitectureKeys& keys, ProblemList& problems) {
    if (keys.count_or("expert_count", 0) > 0)
        problems.add(fmt::format("{}: mixtures of experts are not supported", keys.key("expert_count")));
}

}  // namespace

Architecture architecture_from_gguf(const GgufMetadata& metadata, bool has_output_weight) {
    Architecture architecture;
    architecture.name = metadata.text("general.architecture");
    if (!is_supported_architecture(architecture.name))
        throw Error(ErrorKind::kMalformed, fmt::format("general.architecture: got \"{}\"; this program knows {}",
                                                       architecture.name, supported_architectures()));
    ProblemList problems("metadata");
    const ArchitectureKeys keys(metadata, architecture.name, problems);

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
    attempt(problems, [&] {
        architecture.rms_norm_epsilon = static_cast<float>(metadata.real(keys.key("attention.layer_norm_rms_epsilon")));
    });
    architecture.rope_freq_base = keys.real_or("rope.freq_base", 10000.0);
    architecture.rope_scaling = read_rope_scaling(keys, metadata, architecture, problems);
    architecture.rope_layout = architecture.name == "qwen2" ? RopeLayout::kNeox : RopeLayout::kNorm;
    architecture.tied_embeddings = !has_output_weight;
    refuse_other_graphs(keys, problems);

    check_architecture(architecture, problems);
    problems.throw_if_any();
    return architecture;
}

void write_architecture(const Architecture& architecture, GgufMetadata& metadata) {
    const auto set = [&](std::string_view name, GgufValue value) {
        metadata.set(fmt::format("{}.{}", architecture.name, name), std::move(value));
    };
    const auto set_count = [&](std::string_view name, std::int32_t value) {
        set(name, static_cast<std::uint32_t>(value));
    };
    // deci's loader takes arrays, one entry a block; the others' take one number for all.
    const auto set_per_layer = [&](std::string_view name, std::int32_t LayerGeometry::* member) {
        if (architecture.name != "deci") return set_count(name, architecture.layers.front().*member);
        std::vector<std::int32_t> values;
        for (const LayerGeometry& layer : architecture.layers) values.push_back(layer.*member);
        set(name, GgufArray(std::move(values)));
    };

    set_count("block_count", architecture.n_layer());
    set_count("context_length", architecture.context_length);
    set_count("embedding_length", architecture.n_embd);
    set_per_layer("feed_forward_length", &LayerGeometry::n_ff);
    set_per_layer("attention.head_count", &LayerGeometry::n_head);
    set_per_layer("attention.head_count_kv", &LayerGeometry::n_head_kv);
    set_count("attention.key_length", architecture.head_dim);
    set_count("attention.value_length", architecture.head_dim);
    set("attention.layer_norm_rms_epsilon", architecture.rms_norm_epsilon);
    set("rope.freq_base", architecture.rope_freq_base);
    set_count("rope.dimension_count", architecture.n_rot);
    set_count("vocab_size", architecture.n_vocab);

    const RopeScaling& scaling = architecture.rope_scaling;
    if (scaling.kind == RopeScaling::Kind::kNone) return;
    set("rope.scaling.type", std::string(scaling.kind == RopeScaling::Kind::kYarn ? "yarn" : "linear"));
    set("rope.scaling.factor", scaling.factor);
    if (scaling.attention_factor != 1) set("rope.scaling.attn_factor", scaling.attention_factor);
    if (scaling.original_context_length > 0)
        set_count("rope.scaling.original_context_length", scaling.original_context_length);
}

}  // namespace plasticity
