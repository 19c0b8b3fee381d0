#include "compress/tensor_encoder.h"

#include <fmt/format.h>

#include <algorithm>

#include "artifact/importance.h"
#include "core/error.h"
#include "quant/block_check.h"

namespace plasticity {

std::vector<float> importance_of(const OutputTensor& tensor, const Statistics* statistics) {
    if (statistics == nullptr) return {};
    std::vector<float> all = channel_importance(*statistics, *tensor.source);
    if (all.empty() || tensor.cols.empty()) return all;
    std::vector<float> kept;
    for (const std::int64_t channel : tensor.cols)
        kept.push_back(channel == kZeros ? 0.0f : all[static_cast<std::size_t>(channel)]);
    return kept;
}

TensorEncoder::TensorEncoder(const OutputTensor& tensor, const Knowledge& knowledge, bool error_feedback)
    : tensor_(&tensor) {
    // Quantising again what already has the type would only lose precision.
    if (keeps_stored_blocks(tensor)) return;
    quantizer_.emplace(tensor.spec.type, tensor.spec.dims[0], importance_of(tensor, knowledge.statistics),
                       tensor.spec.name);
    need_ = gram_need(tensor, knowledge.gram, error_feedback);
    if (need_ && need_->feedback.is_possible()) feedback_ = std::make_unique<TensorFeedback>(tensor);
}

void TensorEncoder::begin(const GramWork& work) {
    if (compensates()) compensation_ = work.compensation;
    if (feedback_) feedback_->begin(work.factor);
}

void TensorEncoder::end() {
    compensation_.reset();
    if (feedback_) feedback_->end();
}

void TensorEncoder::encode(const Model& model, const Tile& tile, TileScratch& scratch,
                           std::vector<std::byte>& out) const {
    if (!quantizer_) return copy_stored(model, tile, out);
    const std::span<const float> rows = read_rows(model, tile, scratch);
    out.resize(static_cast<std::size_t>(tile.n_rows) * quantizer_->row_bytes());
    quantizer_->quantize(rows, tile.first_row, out);
    if (feedback_) feedback_->improve(rows, out);
}

std::span<const float> TensorEncoder::read_rows(const Model& model, const Tile& tile, TileScratch& scratch) const {
    if (!compensates()) return read_tile_f32(model, *tensor_, tile, scratch);
    OutputTensor whole;  // with the columns that go
    whole.source = tensor_->source;
    whole.rows = tensor_->rows;
    const std::span<const float> rows = read_tile_f32(model, whole, tile, scratch);
    const auto n_rows = static_cast<std::size_t>(tile.n_rows);
    const auto n_kept =
        static_cast<std::size_t>(std::ranges::count_if(tensor_->cols, [](auto col) { return col != kZeros; }));
    scratch.compensated.resize(n_rows * n_kept);
    compensation_->apply(rows, scratch.compensated);
    if (n_kept == tensor_->cols.size()) return scratch.compensated;
    scratch.rows.resize(n_rows * tensor_->cols.size());
    std::size_t from = 0, to = 0;
    for (std::size_t row = 0; row < n_rows; ++row)
        for (const std::int64_t col : tensor_->cols)
            scratch.rows[to++] = col == kZeros ? 0.0f : scratch.compensated[from++];
    return scratch.rows;
}

void TensorEncoder::copy_stored(const Model& model, const Tile& tile, std::vector<std::byte>& out) const {
    read_tile_stored(model, *tensor_, tile, out);
    if (const auto bad = first_non_finite(tensor_->spec.type, out))
        throw Error(
            ErrorKind::kMalformed,
            fmt::format("compress: {} at row {}, column {} is not finite; expected finite weights. Is the model "
                        "damaged?",
                        tensor_->spec.name, tile.first_row + *bad / tensor_->n_cols(), *bad % tensor_->n_cols()));
}

}  // namespace plasticity
