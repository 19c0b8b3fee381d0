#include "artifact/channel_scales.h"

#include <cstring>
#include <utility>

#include "artifact/derived_model.h"

namespace plasticity {
namespace {

/// Query heads h · (heads ÷ groups) … read the values of group h.
std::vector<float> for_each_query_head(const std::vector<float>& values, const LayerGeometry& layer,
                                       std::int64_t head_dim) {
    std::vector<float> heads;
    if (values.empty()) return heads;
    for (std::int32_t head = 0; head < layer.n_head; ++head) {
        const auto group = values.begin() + head / (layer.n_head / layer.n_head_kv) * head_dim;
        heads.insert(heads.end(), group, group + head_dim);
    }
    return heads;
}

class ScaledModel final : public DerivedModel {
public:
    ScaledModel(std::unique_ptr<Model> model, std::shared_ptr<const ChannelScales> scales)
        : DerivedModel(std::move(model)), scales_(std::move(scales)) {
        for (ModelTensor& tensor : tensors_)
            if (is_scaled(tensor.id)) declare_computed(tensor);
    }

    void read_rows(const ModelTensor& tensor, std::int64_t first_row, std::int64_t n_rows,
                   std::span<std::byte> out) const override {
        const ModelTensor& stored = base().require(tensor.id);
        if (!is_scaled(tensor.id)) return base().read_rows(stored, first_row, n_rows, out);
        const auto cols = static_cast<std::size_t>(tensor.cols);
        std::vector<float> values(static_cast<std::size_t>(n_rows) * cols);
        base().read_rows_f32(stored, first_row, n_rows, values);
        const std::span<const float> columns = scales_->columns(tensor.id), divisors = scales_->divisors(tensor.id);
        for (std::size_t row = 0; row < static_cast<std::size_t>(n_rows); ++row)
            for (std::size_t col = 0; col < cols; ++col) {
                float& value = values[row * cols + col];
                if (!columns.empty()) value *= columns[col];
                if (!divisors.empty())
                    value /= divisors[tensor.is_vector ? col : static_cast<std::size_t>(first_row) + row];
            }
        std::memcpy(out.data(), values.data(), out.size());
    }

private:
    bool is_scaled(const TensorId& id) const { return !scales_->columns(id).empty() || !scales_->divisors(id).empty(); }

    std::shared_ptr<const ChannelScales> scales_;
};

}  // namespace

ChannelScales::ChannelScales(const Architecture& architecture, std::vector<BlockScales> blocks)
    : blocks_(std::move(blocks)) {
    for (std::size_t i = 0; i < blocks_.size(); ++i)
        heads_.push_back(for_each_query_head(blocks_[i].values, architecture.layers[i], architecture.head_dim));
}

std::span<const float> ChannelScales::columns(const TensorId& id) const {
    if (id.layer < 0 || id.is_bias) return {};
    const auto layer = static_cast<std::size_t>(id.layer);
    switch (id.role) {
        case TensorRole::kQuery:
        case TensorRole::kKey:
        case TensorRole::kValue:
            return blocks_[layer].attention_input;
        case TensorRole::kAttentionOutput:
            return heads_[layer];
        case TensorRole::kGate:
        case TensorRole::kUp:
            return blocks_[layer].feed_forward_input;
        case TensorRole::kDown:
            return blocks_[layer].channels;
        default:
            return {};
    }
}

std::span<const float> ChannelScales::divisors(const TensorId& id) const {
    if (id.layer < 0) return {};
    const BlockScales& block = blocks_[static_cast<std::size_t>(id.layer)];
    switch (id.role) {
        case TensorRole::kAttentionNorm:
            return block.attention_input;
        case TensorRole::kValue:
            return block.values;
        case TensorRole::kFeedForwardNorm:
            return block.feed_forward_input;
        case TensorRole::kUp:
            return block.channels;
        default:
            return {};
    }
}

std::unique_ptr<Model> with_channel_scales(std::unique_ptr<Model> model, std::shared_ptr<const ChannelScales> scales) {
    return std::make_unique<ScaledModel>(std::move(model), std::move(scales));
}

}  // namespace plasticity
