#include "model/architecture.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "model/architecture_check.h"
#include "model/family.h"

namespace plasticity {
namespace {

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
    check_positive("RoPE frequency base of blocks with a window", architecture.window.rope_freq_base);
    check_positive("embedding multiplier", architecture.multipliers.embedding);
    check_positive("residual multiplier", architecture.multipliers.residual);
    check_positive("logit divisor", architecture.multipliers.logit_divisor);
    if (!std::isfinite(architecture.attention_scale))
        problems.add(fmt::format("attention scale: got {}; expected a finite number", architecture.attention_scale));
}

void check_experts(const Experts& experts, ProblemList& problems) {
    if (experts.count == 0) return;
    constexpr std::int32_t kMaxExperts = 1024, kMaxFeedForward = 1 << 24;  // LLAMA_MAX_EXPERTS
    check_range("experts", experts.count, 1, kMaxExperts, problems);
    check_range("experts for each token", experts.used, 1, std::max(experts.count, 1), problems);
    check_range("width of an expert", experts.n_ff, 1, kMaxFeedForward, problems);
}

}  // namespace

bool Architecture::is_uniform() const {
    return std::ranges::all_of(layers, [this](const LayerGeometry& layer) { return layer == layers.front(); });
}

bool Architecture::slides(std::int32_t layer) const {
    return window.n_tokens > 0 && (window.full_every == 0 || (layer + 1) % window.full_every != 0);
}

bool Architecture::rotates(std::int32_t layer) const {
    return features.no_rope_every == 0 || (layer + 1) % features.no_rope_every != 0;
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
    check_range("sliding window", architecture.window.n_tokens, 0, INT32_MAX, problems);
    check_experts(architecture.experts, problems);
    if (family_of(architecture).per_layer_counts) return;
    if (!architecture.is_uniform())
        problems.add(fmt::format("blocks differ in heads or width; {} has one geometry for all (deci may differ)",
                                 architecture.name));
    else if (!architecture.layers.empty() && architecture.layers.front().n_head == 0)
        problems.add(fmt::format("got no attention heads; {} needs them in every block", architecture.name));
}

}  // namespace plasticity
