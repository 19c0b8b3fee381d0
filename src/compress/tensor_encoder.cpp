#include "compress/tensor_encoder.h"

#include <fmt/format.h>

#include "core/error.h"
#include "quant/block_check.h"

namespace plasticity {

std::vector<float> importance_of(const OutputTensor& tensor, const Statistics* statistics) {
    const ChannelStatistics* channels = statistics ? statistics->find(tensor.source->name) : nullptr;
    if (channels == nullptr || channels->count <= 0) return {};
    if (std::cmp_not_equal(channels->sum_of_squares.size(), tensor.source->cols))
        throw Error(ErrorKind::kMalformed,
                    fmt::format("compress: statistics of {} have {} channels; expected {}. Are they another model's?",
                                tensor.source->name, channels->sum_of_squares.size(), tensor.source->cols));
    const auto mean_of = [&](std::int64_t channel) {
        const double sum = channels->sum_of_squares[static_cast<std::size_t>(channel)];
        return static_cast<float>(sum / static_cast<double>(channels->count));
    };
    std::vector<float> importance;
    if (tensor.cols.empty())
        for (std::int64_t channel = 0; channel < tensor.source->cols; ++channel) importance.push_back(mean_of(channel));
    for (const std::int64_t channel : tensor.cols) importance.push_back(mean_of(channel));
    return importance;
}

TensorEncoder::TensorEncoder(const OutputTensor& tensor, const Statistics* statistics) : tensor_(&tensor) {
    // Quantising again what already has the type would only lose precision.
    if (tensor.source->type == tensor.spec.type && tensor.cols.empty()) return;
    quantizer_.emplace(tensor.spec.type, tensor.spec.dims[0], importance_of(tensor, statistics), tensor.spec.name);
}

void TensorEncoder::encode(const Model& model, const Tile& tile, TileScratch& scratch,
                           std::vector<std::byte>& out) const {
    if (!quantizer_) return copy_stored(model, tile, out);
    const std::span<const float> rows = read_tile_f32(model, *tensor_, tile, scratch);
    out.resize(static_cast<std::size_t>(tile.n_rows) * quantizer_->row_bytes());
    quantizer_->quantize(rows, tile.first_row, out);
}

void TensorEncoder::copy_stored(const Model& model, const Tile& tile, std::vector<std::byte>& out) const {
    read_tile_stored(model, *tensor_, tile, out);
    if (const auto bad = first_non_finite(tensor_->spec.type, out))
        throw Error(
            ErrorKind::kMalformed,
            fmt::format("compress: {} at row {}, column {} is not finite; expected finite weights. Is the model "
                        "damaged?",
                        tensor_->spec.name, tile.first_row + *bad / tensor_->source->cols,
                        *bad % tensor_->source->cols));
}

}  // namespace plasticity
