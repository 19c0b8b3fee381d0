#include "artifact/padding.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <vector>

#include "model/family.h"

namespace plasticity {
namespace {

/// Blocks whose codes stand for points of a grid without a zero, under a scale that is zero only for a whole block.
constexpr std::array kTypesWithoutZero{GGML_TYPE_IQ3_S,   GGML_TYPE_IQ3_XXS, GGML_TYPE_IQ2_S, GGML_TYPE_IQ2_XS,
                                       GGML_TYPE_IQ2_XXS, GGML_TYPE_IQ1_M,   GGML_TYPE_IQ1_S, GGML_TYPE_Q1_0};

/// Weights that share a scale in every other type: 32 or 16.
constexpr std::int64_t kScaleGroup = 32;
constexpr std::int64_t kWideBlock = 256;

/// Far more than any alignment asks for; a bound on what a recipe can make the output grow by.
std::int64_t largest_for(std::int64_t length) {
    return 2 * length + 1024;
}

std::int64_t size_of(const Padding& padding, PaddedAxis axis) {
    switch (axis) {
        case PaddedAxis::kWidth:
            return padding.width;
        case PaddedAxis::kHeads:
            return padding.heads;
        case PaddedAxis::kFeedForward:
            return padding.feed_forward;
        case PaddedAxis::kNone:
            break;
    }
    return 0;
}

void check_size(std::string_view key, std::int64_t padded, std::int64_t length, ProblemList& problems) {
    if (padded <= length || padded > largest_for(length))
        problems.add(fmt::format("padding: {} is {}; the model has {}, expected {} to {}", key, padded, length,
                                 length + 1, largest_for(length)));
}

}  // namespace

PaddedAxes padded_axes(const TensorId& id) {
    using enum PaddedAxis;
    switch (id.role) {
        case TensorRole::kTokenEmbedding:
        case TensorRole::kOutput:
        case TensorRole::kOutputNorm:
        case TensorRole::kAttentionNorm:
        case TensorRole::kAttentionPostNorm:
        case TensorRole::kFeedForwardNorm:
        case TensorRole::kFeedForwardPostNorm:
            return {.cols = kWidth};
        case TensorRole::kQuery:
            return id.is_bias ? PaddedAxes{.cols = kHeads} : PaddedAxes{.rows = kHeads, .cols = kWidth};
        case TensorRole::kKey:
        case TensorRole::kValue:
            return id.is_bias ? PaddedAxes{} : PaddedAxes{.cols = kWidth};
        case TensorRole::kAttentionOutput:
            return {.rows = kWidth, .cols = kHeads};
        case TensorRole::kGate:
        case TensorRole::kUp:
            return {.rows = kFeedForward, .cols = kWidth};
        case TensorRole::kDown:
            return {.rows = kWidth, .cols = kFeedForward};
        default:
            return {};
    }
}

std::int64_t padded_length(const Padding& padding, PaddedAxis axis, std::int64_t length, std::int32_t head_dim) {
    const std::int64_t size = size_of(padding, axis);
    return size == 0 ? length : axis == PaddedAxis::kHeads ? size * head_dim : size;
}

Architecture padded_architecture(const Architecture& output, const Padding& padding) {
    Architecture padded = output;
    if (padding.width > 0) {
        padded.rms_norm_epsilon = static_cast<float>(double{output.rms_norm_epsilon} * output.n_embd / padding.width);
        padded.n_embd = padding.width;
    }
    for (LayerGeometry& layer : padded.layers) {
        if (padding.heads > 0 && layer.n_head > 0) layer.n_head = padding.heads;
        if (padding.feed_forward > 0) layer.n_ff = padding.feed_forward;
    }
    return padded;
}

std::optional<std::string> padding_obstacle(const Architecture& architecture, const Padding& padding) {
    const Family& family = family_of(architecture);
    if (padding.width > 0 && family.scales_by_width)
        return fmt::format("stock {} multiplies the embedding by the square root of its width", architecture.name);
    if (padding.width > 0 && architecture.features.query_key_norms)
        return fmt::format("the norms over heads of {} share the epsilon that would change with the width",
                           architecture.name);
    if (padding.heads > 0 && family.scales_by_width && architecture.attention_scale != 0.0f)
        return fmt::format("stock {} derives the scale of attention from the number of heads", architecture.name);
    if ((padding.width > 0 || padding.feed_forward > 0) && architecture.experts.count > 0)
        return "weights of experts are not padded";
    return std::nullopt;
}

void check_padding(const Architecture& output, const Padding& padding, ProblemList& problems) {
    if (!padding.any()) return;
    if (const auto obstacle = padding_obstacle(output, padding)) problems.add(fmt::format("padding: {}", *obstacle));
    if (padding.width > 0) check_size("width", padding.width, output.n_embd, problems);
    std::int32_t heads = 0, feed_forward = 0;
    for (const LayerGeometry& layer : output.layers) {
        heads = std::max(heads, layer.n_head);
        feed_forward = std::max(feed_forward, layer.n_ff);
    }
    if (padding.feed_forward > 0) check_size("feedForward", padding.feed_forward, feed_forward, problems);
    if (padding.heads == 0) return;
    check_size("heads", padding.heads, heads, problems);
    for (std::int32_t i = 0; i < output.n_layer(); ++i) {
        const std::int32_t groups = output.layers[static_cast<std::size_t>(i)].n_head_kv;
        if (groups > 0 && padding.heads % groups != 0)
            problems.add(fmt::format("padding: heads is {}; expected a multiple of the {} KV heads of layer {}",
                                     padding.heads, groups, i));
    }
}

bool keeps_zero_columns(ggml_type type, std::int64_t boundary) {
    if (boundary % ggml_blck_size(type) == 0) return true;
    return boundary % kScaleGroup == 0 && std::ranges::find(kTypesWithoutZero, type) == kTypesWithoutZero.end();
}

std::string alignment_of(ggml_type type, std::int64_t length, std::int64_t padded) {
    const std::int64_t block = ggml_blck_size(type);
    std::string text = padded != length ? fmt::format("padded {} → {}: ", length, padded) : "";
    text += block == 1 ? std::string("blocks of 1") : fmt::format("{}-wide blocks", block);
    if (padded == length && length % kWideBlock != 0)
        text += fmt::format(": {} is no multiple of {}", length, block == 1 && length % 32 != 0 ? 32 : kWideBlock);
    return text;
}

std::string padding_text(const Padding& padding) {
    std::vector<std::string> parts;
    if (padding.width > 0) parts.push_back(fmt::format("width {}", padding.width));
    if (padding.heads > 0) parts.push_back(fmt::format("heads {}", padding.heads));
    if (padding.feed_forward > 0) parts.push_back(fmt::format("feed-forward width {}", padding.feed_forward));
    return fmt::format("{}", fmt::join(parts, ", "));
}

}  // namespace plasticity
