#include "heal/trained_vectors.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "core/error.h"
#include "quant/scaled_rows.h"

namespace plasticity {
namespace {

std::vector<float> units_of(const TensorId& id, std::span<const float> start) {
    std::vector<float> sizes(start.size());
    std::ranges::transform(start, sizes.begin(), [](float x) { return std::fabs(x); });
    if (!id.is_bias) return sizes;
    const double sum = std::accumulate(sizes.begin(), sizes.end(), 0.0);
    return std::vector<float>(start.size(), static_cast<float>(sum / static_cast<double>(start.size())));
}

/// Nothing where it is not trained.
std::vector<float> start_of(const Model& model, const ModelTensor& tensor) {
    if (tensor.id.layer >= 0 && is_matrix(tensor.id) && scales_in_place(tensor.type))
        return std::vector<float>(static_cast<std::size_t>(tensor.rows), 1.0f);
    if (!tensor.is_vector || (!tensor.id.is_bias && !is_norm(tensor.id.role))) return {};
    if (tensor.type != GGML_TYPE_F32)
        throw Error(ErrorKind::kMalformed, fmt::format("heal: {} is {}; expected F32, as norms and biases are",
                                                       tensor.name, ggml_type_name(tensor.type)));
    std::vector<float> start(static_cast<std::size_t>(tensor.cols));
    model.read_rows_f32(tensor, 0, 1, start);
    return start;
}

std::vector<TrainedVector> vectors_of(const Model& model) {
    std::vector<TrainedVector> vectors;
    for (const ModelTensor& tensor : model.tensors()) {
        const std::vector<float> start = start_of(model, tensor);
        if (start.empty()) continue;
        vectors.push_back({.id = tensor.id,
                           .start = start,
                           .unit = units_of(tensor.id, start),
                           .change = std::vector<float>(start.size()),
                           .gradient = std::vector<float>(start.size())});
    }
    return vectors;
}

RowScales scales_of(std::span<const TrainedVector> vectors) {
    RowScales scales;
    for (const TrainedVector& vector : vectors)
        if (is_matrix(vector.id)) scales.push_back({vector.id, vector.start});
    return scales;
}

std::vector<std::size_t> sizes_of(std::span<const TrainedVector> vectors) {
    std::vector<std::size_t> sizes;
    for (const TrainedVector& vector : vectors) sizes.push_back(vector.start.size());
    return sizes;
}

}  // namespace

std::vector<float> TrainedVector::values() const {
    std::vector<float> result = start;
    for (std::size_t i = 0; i < result.size(); ++i) result[i] += unit[i] * change[i];
    return result;
}

TrainedVectors::TrainedVectors(const Model& model)
    : vectors_(vectors_of(model)), row_scales_(scales_of(vectors_)), optimizer_(sizes_of(vectors_), {}) {}

std::int64_t TrainedVectors::n_values() const {
    std::int64_t n = 0;
    for (const TrainedVector& vector : vectors_) n += std::ssize(vector.start);
    return n;
}

VectorObserver TrainedVectors::observer() {
    return [this](const TensorId& id, std::span<const double> gradient) {
        const auto found = std::ranges::find(vectors_, id, &TrainedVector::id);
        if (found == vectors_.end()) return;
        for (std::size_t i = 0; i < gradient.size(); ++i)
            found->gradient[i] += static_cast<float>(gradient[i] * double{found->unit[i]});
    };
}

void TrainedVectors::step(Backpropagation& engine, double learning_rate) {
    std::vector<TrainedArray> arrays;
    for (TrainedVector& vector : vectors_) arrays.push_back({vector.change, vector.gradient});
    optimizer_.step(arrays, learning_rate);
    for (TrainedVector& vector : vectors_) {
        if (const auto scaled = std::ranges::find(row_scales_, vector.id, &ScaledMatrix::id);
            scaled != row_scales_.end())
            scaled->scales = vector.values();
        else
            engine.set_vector(vector.id, vector.values());
        std::ranges::fill(vector.gradient, 0.0f);
    }
}

}  // namespace plasticity
