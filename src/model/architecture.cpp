#include "model/architecture.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>

#include "model/architecture_check.h"

namespace plasticity {
namespace {

constexpr std::array<std::string_view, 3> kSupported{"llama", "qwen2", "deci"};

void check_range(std::string_view what, std::int64_t value, std::int64_t least, std::int64_t most,
                 ProblemList& problems) {
    if (value < least || value > most)
        problems.add(fmt::format("{}: got {}; expected {} to {}", what, value, least, most));
}

void check_layer(std::int32_t index, const LayerGeometry& layer, ProblemList& problems) {
    constexpr std::int32_t kMaxHeads = 1 << 16, kMaxFeedForward = 1 << 24;
    check_range(fmt::format("block {}: query heads", index), layer.n_head, 0, kMaxHeads, problems);
    check_range(fmt::format("block {}: KV heads", index), layer.n_head_kv, 0, kMaxHeads, problems);
    check_range(fmt::format("block {}: feed-forward width", index), layer.n_ff, 1, kMaxFeedForward, problems);
    if ((layer.n_head == 0) != (layer.n_head_kv == 0))
        problems.add(fmt::format("block {}: got {} query heads and {} KV heads; expected both or neither", index,
                                 layer.n_head, layer.n_head_kv));
    else if (layer.n_head_kv > 0 && layer.n_head % layer.n_head_kv != 0)
        problems.add(fmt::format("block {}: got {} query heads; expected a multiple of its {} KV heads", index,
                                 layer.n_head, layer.n_head_kv));
}

void check_numbers(const Architecture& architecture, ProblemList& problems) {
    const auto check_positive = [&](std::string_view what, float value) {
        if (!std::isfinite(value) || value <= 0)
            problems.add(fmt::format("{}: got {}; expected a positive finite number", what, value));
    };
    check_positive("RMSNorm epsilon", architecture.rms_norm_epsilon);
    check_positive("RoPE frequency base", architecture.rope_freq_base);
    check_positive("RoPE scaling factor", architecture.rope_scaling.factor);
    check_positive("RoPE attention factor", architecture.rope_scaling.attention_factor);
    if (!std::isfinite(architecture.attention_scale))
        problems.add(fmt::format("attention scale: got {}; expected a finite number", architecture.attention_scale));
}

}  // namespace

bool Architecture::is_uniform() const {
    return std::ranges::all_of(layers, [this](const LayerGeometry& layer) { return layer == layers.front(); });
}

std::string supported_architectures() {
    return fmt::format("{}", fmt::join(kSupported, ", "));
}

bool is_supported_architecture(std::string_view name) {
    return std::ranges::find(kSupported, name) != kSupported.end();
}

void check_architecture(const Architecture& architecture, ProblemList& problems) {
    constexpr std::int64_t kMaxWidth = 1 << 20, kMaxVocabulary = 1 << 26, kMaxHeadDim = 1 << 14;
    check_range("blocks", architecture.n_layer(), 1, kMaxLayers, problems);
    check_range("embedding width", architecture.n_embd, 1, kMaxWidth, problems);
    check_range("vocabulary", architecture.n_vocab, 1, kMaxVocabulary, problems);
    check_range("context length", architecture.context_length, 1, INT32_MAX, problems);
    check_range("head dimension", architecture.head_dim, 2, kMaxHeadDim, problems);
    if (architecture.head_dim % 2 != 0)
        problems.add(fmt::format("head dimension: got {}; expected an even number", architecture.head_dim));
    if (architecture.n_rot != architecture.head_dim)
        problems.add(fmt::format("rotated dimensions: got {}; expected all {} of a head", architecture.n_rot,
                                 architecture.head_dim));
    check_numbers(architecture, problems);

    for (std::int32_t i = 0; i < architecture.n_layer(); ++i)
        check_layer(i, architecture.layers[static_cast<std::size_t>(i)], problems);
    if (architecture.name == "deci") return;
    if (!architecture.is_uniform())
        problems.add(fmt::format("blocks differ in heads or width; {} has one geometry for all (deci may differ)",
                                 architecture.name));
    else if (!architecture.layers.empty() && architecture.layers.front().n_head == 0)
        problems.add(fmt::format("got no attention heads; {} needs them in every block", architecture.name));
}

}  // namespace plasticity
