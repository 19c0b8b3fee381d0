#include "plan/alignment.h"

#include <algorithm>
#include <numeric>

#include "model/column_padding.h"

namespace plasticity {
namespace {

constexpr std::int32_t kBatchTokens = 512;

std::int32_t rounded_up(std::int32_t value, std::int32_t step) {
    return (value + step - 1) / step * step;
}

/// What every block that has any has; 0 where they differ.
std::int32_t common(const Architecture& architecture, std::int32_t LayerGeometry::* member) {
    std::int32_t value = 0;
    for (const LayerGeometry& layer : architecture.layers) {
        if (layer.*member == 0) continue;
        if (value != 0 && layer.*member != value) return 0;
        value = layer.*member;
    }
    return value;
}

/// The next number of heads that fill whole blocks, as many for each KV group. 0 where the blocks differ.
std::int32_t whole_heads(const Architecture& architecture) {
    const std::int32_t heads = common(architecture, &LayerGeometry::n_head);
    std::int32_t step = kWideBlock / std::gcd(kWideBlock, architecture.head_dim);
    for (const LayerGeometry& layer : architecture.layers)
        if (layer.n_head_kv > 0) step = std::lcm(step, layer.n_head_kv);
    return rounded_up(heads, step);
}

bool grows_little(std::int32_t length, std::int32_t padded) {
    return 2 * std::int64_t{padded} <= 3 * std::int64_t{length};
}

/// The dimensions that may be padded at all.
PaddedDimensions candidates_of(const Architecture& architecture, Align align) {
    const auto worthwhile = [&](std::int32_t length, std::int32_t padded, const Padding& padding) {
        return padded > length && (!is_auto(align) || grows_little(length, padded)) &&
               !padding_obstacle(architecture, padding);
    };
    const Padding all = padding_for({true, true, true}, architecture);
    return {
        .width = worthwhile(architecture.n_embd, all.width, {.width = 1}),
        .heads = worthwhile(common(architecture, &LayerGeometry::n_head), all.heads, {.heads = 1}),
        .feed_forward = worthwhile(common(architecture, &LayerGeometry::n_ff), all.feed_forward, {.feed_forward = 1})};
}

bool has_ragged_rows(const Architecture& architecture) {
    return architecture.n_embd % kWideBlock != 0 ||
           std::ranges::any_of(architecture.layers, [&](const LayerGeometry& layer) {
               return layer.n_head * architecture.head_dim % kWideBlock != 0 || layer.n_ff % kWideBlock != 0;
           });
}

}  // namespace

std::vector<PaddedDimensions> padding_candidates(const Architecture& architecture, Align align) {
    if (align == Align::kNone) return {{}};
    if (align == Align::kColumns) return {{.columns = true}};
    const PaddedDimensions most = candidates_of(architecture, align);
    if (align == Align::kPad) return {most};
    std::vector<PaddedDimensions> candidates{{}};
    for (int subset = 1; subset < 8; ++subset) {
        const PaddedDimensions some{(subset & 1) != 0, (subset & 2) != 0, (subset & 4) != 0};
        if (some.width <= most.width && some.heads <= most.heads && some.feed_forward <= most.feed_forward)
            candidates.push_back(some);
    }
    if (align == Align::kAutoOwn && architecture.experts.count == 0) candidates.push_back({.columns = true});
    return candidates;
}

Padding padding_for(const PaddedDimensions& dimensions, const Architecture& pruned) {
    const auto sized = [](bool wanted, std::int32_t length, std::int32_t padded) {
        return wanted && padded > length ? padded : 0;
    };
    const std::int32_t heads = common(pruned, &LayerGeometry::n_head);
    const std::int32_t feed_forward = common(pruned, &LayerGeometry::n_ff);
    return {.width = sized(dimensions.width, pruned.n_embd, rounded_up(pruned.n_embd, kWideBlock)),
            .heads = sized(dimensions.heads, heads, whole_heads(pruned)),
            .feed_forward = sized(dimensions.feed_forward, feed_forward, rounded_up(feed_forward, kWideBlock))};
}

Alignment alignment_for(const PaddedDimensions& dimensions, const Architecture& pruned) {
    const Padding padding = padding_for(dimensions, pruned);
    return {padding, dimensions.columns && has_ragged_rows(padded_architecture(pruned, padding))};
}

std::uint64_t padded_input_bytes(const Architecture& architecture, std::int32_t context_length) {
    std::int64_t longest = 0;
    const auto consider = [&](std::int64_t cols) {
        if (const std::int64_t whole = whole_blocks(kWidestBlock, cols); whole != cols)
            longest = std::max(longest, whole);
    };
    consider(architecture.n_embd);
    for (const LayerGeometry& layer : architecture.layers) {
        consider(std::int64_t{layer.n_head} * architecture.head_dim);
        consider(layer.n_ff);
    }
    const std::int64_t batch = std::min(kBatchTokens, context_length);
    return sizeof(float) * static_cast<std::uint64_t>(batch * longest);
}

TensorShape padded_shape(const TensorId& id, TensorShape shape, const Padding& padding, std::int32_t head_dim) {
    if (shape.rows == 0) return shape;
    const PaddedAxes axes = padded_axes(id);
    return {padded_length(padding, axes.rows, shape.rows, head_dim),
            padded_length(padding, axes.cols, shape.cols, head_dim)};
}

}  // namespace plasticity
