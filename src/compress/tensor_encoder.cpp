#include "compress/tensor_encoder.h"

#include <fmt/format.h>

#include <utility>

#include "artifact/importance.h"
#include "core/error.h"
#include "quant/block_check.h"

namespace plasticity {

std::vector<float> importance_of(const OutputTensor& tensor, const Statistics* statistics) {
    if (statistics == nullptr) return {};
    std::vector<float> all = channel_importance(*statistics, *tensor.source);
    if (all.empty() || tensor.cols.empty()) return all;
    std::vector<float> kept;
    for (const std::int64_t channel : tensor.cols) kept.push_back(all[static_cast<std::size_t>(channel)]);
    return kept;
}

namespace {

/// The input of a matrix, where the file knows it.
const GramInput* input_of(const OutputTensor& tensor, const GramFile* gram) {
    const ModelTensor& source = *tensor.source;
    if (gram == nullptr || source.is_vector || source.n_matrices != 1) return nullptr;
    const GramInput* input = gram->find(gguf_name(source.id));
    if (input != nullptr && input->width != source.cols)
        throw Error(ErrorKind::kMalformed,
                    fmt::format("the Gram matrix of {} is of {} channels; expected {}. Is it another model's?",
                                source.name, input->width, source.cols));
    return input;
}

}  // namespace

TensorEncoder::TensorEncoder(const OutputTensor& tensor, const Knowledge& knowledge, bool error_feedback)
    : tensor_(&tensor) {
    // Quantising again what already has the type would only lose precision.
    if (tensor.source->type == tensor.spec.type && tensor.cols.empty()) return;
    quantizer_.emplace(tensor.spec.type, tensor.spec.dims[0], importance_of(tensor, knowledge.statistics),
                       tensor.spec.name);
    const GramInput* input = input_of(tensor, knowledge.gram);
    if (input == nullptr) return;
    if (!tensor.cols.empty()) compensation_.emplace(knowledge.gram->read(input->matrix), tensor.cols);
    if (error_feedback && takes_feedback(tensor))
        feedback_ = std::make_unique<TensorFeedback>(tensor, knowledge.feedback);
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
    if (!compensation_) return read_tile_f32(model, *tensor_, tile, scratch);
    OutputTensor whole;  // with the columns that go
    whole.source = tensor_->source;
    whole.rows = tensor_->rows;
    const std::span<const float> rows = read_tile_f32(model, whole, tile, scratch);
    scratch.compensated.resize(static_cast<std::size_t>(tile.n_rows) * tensor_->cols.size());
    compensation_->apply(rows, scratch.compensated);
    return scratch.compensated;
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
