#include "artifact/output_selection.h"

#include <numeric>

#include "model/rope_layout.h"

namespace plasticity {
namespace {

std::vector<std::int64_t> everything(std::int64_t n) {
    std::vector<std::int64_t> indices(static_cast<std::size_t>(n));
    std::iota(indices.begin(), indices.end(), std::int64_t{0});
    return indices;
}

/// Elements along the heads of a projection: which stay, and in which order of the output's RoPE layout.
class HeadSelection {
public:
    HeadSelection(const Architecture& base, const Architecture& output, const LayerTopology& topology)
        : base_(base), output_(output), topology_(topology) {}

    std::vector<std::int64_t> query() const { return with_zeros(rotated(query_heads(), topology_.num_heads)); }
    std::vector<std::int64_t> key() const { return rotated(kv_heads(), topology_.num_kv_heads); }
    std::vector<std::int64_t> value() const { return simplified(kv_heads(), geometry().n_head_kv); }
    std::vector<std::int64_t> output_columns() const {
        return with_zeros(simplified(query_heads(), geometry().n_head));
    }

private:
    const LayerGeometry& geometry() const { return base_.layers[static_cast<std::size_t>(topology_.layer_index)]; }
    std::vector<std::int64_t> query_heads() const {
        return rows_of_heads(topology_.retained_head_indices, geometry().n_head, base_.head_dim);
    }
    std::vector<std::int64_t> kv_heads() const {
        return rows_of_heads(topology_.retained_kv_head_indices, geometry().n_head_kv, base_.head_dim);
    }
    /// "All as they are" is the empty list.
    std::vector<std::int64_t> simplified(std::vector<std::int64_t> kept, std::int32_t n_heads) const {
        const bool all = kept.size() == static_cast<std::size_t>(n_heads) * static_cast<std::size_t>(base_.head_dim);
        if (all) kept.clear();
        return kept;
    }
    std::vector<std::int64_t> rotated(const std::vector<std::int64_t>& kept, std::int32_t n_heads) const {
        const auto order = rope_row_order(n_heads, base_.head_dim, base_.rope_layout, output_.rope_layout);
        std::vector<std::int64_t> result(order.size());
        for (std::size_t row = 0; row < order.size(); ++row) result[row] = kept[static_cast<std::size_t>(order[row])];
        // A cut at the end leaves a prefix: it must still be listed, or nobody would know that it is one.
        const bool all = topology_.num_heads == geometry().n_head && topology_.num_kv_heads == geometry().n_head_kv;
        return all && result == everything(std::ssize(result)) ? std::vector<std::int64_t>{} : result;
    }

    /// Heads of zeros behind those of each KV group, to which attention counts heads off in order.
    std::vector<std::int64_t> with_zeros(std::vector<std::int64_t> kept) const {
        const auto index = static_cast<std::size_t>(topology_.layer_index);
        const auto groups = static_cast<std::size_t>(topology_.num_kv_heads);
        const auto head_dim = static_cast<std::size_t>(base_.head_dim);
        const auto n_padded = static_cast<std::size_t>(output_.layers[index].n_head);
        const auto n_kept = static_cast<std::size_t>(topology_.num_heads);
        if (n_padded == n_kept) return kept;
        if (kept.empty()) kept = everything(static_cast<std::int64_t>(n_kept * head_dim));
        std::vector<std::int64_t> padded;
        for (std::size_t group = 0; group < groups; ++group) {
            const auto first = kept.begin() + static_cast<std::ptrdiff_t>(group * (n_kept / groups) * head_dim);
            padded.insert(padded.end(), first, first + static_cast<std::ptrdiff_t>(n_kept / groups * head_dim));
            padded.resize((group + 1) * (n_padded / groups) * head_dim, kZeros);
        }
        return padded;
    }

    const Architecture& base_;
    const Architecture& output_;
    const LayerTopology& topology_;
};

void select_heads(WeightSelection& selection, const ModelTensor& source, const HeadSelection& heads) {
    const TensorId& id = source.id;
    // A bias is one row: its elements lie along the columns.
    auto& along_rows = source.is_vector ? selection.cols : selection.rows;
    if (id.role == TensorRole::kQuery) along_rows = heads.query();
    if (id.role == TensorRole::kKey) along_rows = heads.key();
    if (id.role == TensorRole::kValue) along_rows = heads.value();
    if (id.role == TensorRole::kAttentionOutput && !id.is_bias) selection.cols = heads.output_columns();
}

/// Rows of gate and up, columns of down.
void select_channels(WeightSelection& selection, const ModelTensor& source, const FeedForwardTopology& feed_forward) {
    const TensorId& id = source.id;
    if (id.role == TensorRole::kGate || id.role == TensorRole::kUp)
        (source.is_vector ? selection.cols : selection.rows) = feed_forward.indices();
    if (id.role == TensorRole::kDown && !id.is_bias) selection.cols = feed_forward.indices();
}

/// The residual stream and the feed-forward part; heads have been padded when they were selected.
void pad(WeightSelection& selection, const ModelTensor& source, const Padding& padding) {
    const auto pad_axis = [&](PaddedAxis axis, std::vector<std::int64_t>& indices, std::int64_t length) {
        const std::int64_t kept = indices.empty() ? length : std::ssize(indices);
        if (axis == PaddedAxis::kWidth || axis == PaddedAxis::kFeedForward)
            pad_end(indices, length, padded_length(padding, axis, kept, 0));
    };
    const PaddedAxes axes = padded_axes(source.id);
    pad_axis(axes.rows, selection.rows, source.rows);
    pad_axis(axes.cols, selection.cols, source.cols);
}

}  // namespace

WeightSelection select_weight(const ModelTensor& source, const Architecture& base, const Architecture& output,
                              const Recipe& recipe) {
    WeightSelection selection;
    if (source.id.layer >= 0) {
        const LayerTopology& topology = recipe.topology.layers[static_cast<std::size_t>(source.id.layer)];
        select_heads(selection, source, {base, output, topology});
        if (topology.feed_forward) select_channels(selection, source, *topology.feed_forward);
    }
    pad(selection, source, recipe.padding);
    return selection;
}

void pad_end(std::vector<std::int64_t>& indices, std::int64_t length, std::int64_t padded) {
    if (padded == (indices.empty() ? length : std::ssize(indices))) return;
    if (indices.empty()) indices = everything(length);
    indices.resize(static_cast<std::size_t>(padded), kZeros);
}

}  // namespace plasticity
