#include "engine/curvature.h"

#include <algorithm>
#include <array>
#include <numeric>

#include "core/counter_random.h"
#include "core/interrupt.h"
#include "engine/backpropagation.h"
#include "engine/layer_backward.h"
#include "engine/transpose.h"

namespace plasticity {
namespace {

/// Entries of a weight gradient that exist at once, as F32.
constexpr std::int64_t kGradientEntries = std::int64_t{1} << 24;
constexpr std::size_t kMaxCurvatureNodes = 16;

std::vector<float> values_of(const ggml_tensor* tensor) {
    std::vector<float> values(static_cast<std::size_t>(ggml_nelements(tensor)));
    fetch<float>(tensor, values);
    return values;
}

/// Row and column sums of squares that are added entry by entry.
struct Sums {
    Sums(std::int64_t n_rows, std::int64_t n_cols)
        : rows(static_cast<std::size_t>(n_rows), 0.0), columns(static_cast<std::size_t>(n_cols), 0.0) {}

    /// @param values  [n, cols], rows `first` to `first` + n; their squares count `scale` times
    void add_squares(std::size_t first, std::span<const float> values, double scale) {
        for (std::size_t at = 0; at < values.size(); ++first)
            for (std::size_t col = 0; col < columns.size(); ++col, ++at) {
                const double square = scale * double{values[at]} * double{values[at]};
                rows[first] += square;
                columns[col] += square;
            }
    }

    std::vector<double> rows;
    std::vector<double> columns;
};

}  // namespace

std::int32_t draw_label(std::span<const float> probabilities, double uniform) {
    double total = 0;
    for (const float p : probabilities) total += double{p};
    double below = 0;
    std::int32_t last = 0;  // rounding may leave the sum short of `uniform`: then the last that has any probability
    for (std::size_t id = 0; id < probabilities.size(); ++id) {
        if (!(probabilities[id] > 0)) continue;
        last = static_cast<std::int32_t>(id);
        below += double{probabilities[id]};
        if (below > uniform * total) break;
    }
    return last;
}

void Backpropagation::curvature(const Example& example, std::uint64_t seed, const CurvatureObserver& observer) {
    require_usable(example);
    Example drawn = example;
    Sums output(architecture().n_vocab, architecture().n_embd);
    gradient_.assign(inputs_.back().size(), 0.0f);
    for (std::int64_t first = 0; first + 1 < n_tokens_; first += kLossRows) {
        throw_if_interrupted();
        const std::int64_t n = std::min(kLossRows, n_tokens_ - 1 - first);
        const Prediction prediction = predict(first, n, true);
        std::vector<float> probabilities = values_of(prediction.probabilities);
        draw_labels(drawn, first, seed, probabilities);
        const std::vector<float> hidden = values_of(prediction.hidden);
        const std::vector<double> energies = add_output_curvature(hidden, probabilities, output.rows, output.columns);
        if (observer.inputs)
            observer.inputs({.matrices = std::array{output_matrix()},
                             .rows = hidden,
                             .channels = architecture().n_embd,
                             .energies = energies});
        subtract_targets(drawn, first, n, prediction.probabilities);
        backward_output(first, n, prediction.probabilities);
    }
    observer.matrix({.matrix = output_matrix(), .rows = output.rows, .columns = output.columns});
    gradient_scale_ = 1;
    for (int layer = architecture().n_layer() - 1; layer >= 0; --layer)
        observer.gates(
            {.matrix = {TensorRole::kAttentionOutput, layer}, .slopes = backward_layer(layer, &observer, nullptr)});
    show_lookup_curvature(example, observer);
}

/// Replaces the targets among tokens [first + 1, …] by draws, and sets the probabilities of positions without to zero.
/// @param probabilities  [n][n_vocab]
void Backpropagation::draw_labels(Example& drawn, std::int64_t first, std::uint64_t seed,
                                  std::span<float> probabilities) const {
    const auto width = static_cast<std::size_t>(architecture().n_vocab);
    for (std::size_t row = 0; row * width < probabilities.size(); ++row) {
        const std::size_t next = static_cast<std::size_t>(first) + row + 1;
        const auto of_row = probabilities.subspan(row * width, width);
        if (drawn.targets[next] != 0)
            drawn.tokens[next] = draw_label(of_row, uniform_at(seed, next));
        else
            std::ranges::fill(of_row, 0.0f);
    }
}

/// The output matrix needs no draws: the expected square of softmax − one-hot is p(1 − p), and different positions'
/// labels are independent.
/// @returns [position] Σ over the vocabulary of that: the expected ‖∂L/∂logits‖²
std::vector<double> Backpropagation::add_output_curvature(std::span<const float> hidden,
                                                          std::span<const float> probabilities,
                                                          std::vector<double>& rows,
                                                          std::vector<double>& columns) const {
    const std::size_t n_vocab = rows.size(), width = columns.size(), n = hidden.size() / width;
    const double slope = 1.0 / double{architecture().multipliers.logit_divisor};
    std::vector<double> bends(n, 0.0);
    for (std::size_t position = 0; position < n; ++position) {
        const auto inputs = hidden.subspan(position * width, width);
        double energy = 0;
        double& bend = bends[position];
        for (const float x : inputs) energy += double{x} * double{x};
        for (std::size_t id = 0; id < n_vocab; ++id) {
            const double p = double{probabilities[position * n_vocab + id]}, square = slope * slope * p * (1 - p);
            rows[id] += square * energy;
            bend += square;
        }
        for (std::size_t col = 0; col < width; ++col) columns[col] += bend * double{inputs[col]} * double{inputs[col]};
    }
    return bends;
}

/// ∂L/∂W = Σ over tokens of (∂L/∂output) · inputᵀ, some rows at a time.
void Backpropagation::show_weight_curvature(TensorId matrix, std::span<const float> inputs, const ggml_tensor* gradient,
                                            const CurvatureObserver& observer) {
    const std::int64_t n_rows = gradient->ne[0], n_cols = std::ssize(inputs) / n_tokens_;
    const std::vector<float> gradients = values_of(gradient);
    const std::int64_t step = std::max<std::int64_t>(1, kGradientEntries / n_cols);
    Sums sums(n_rows, n_cols);
    for (std::int64_t first = 0; first < n_rows; first += step) {
        throw_if_interrupted();
        const std::int64_t n = std::min(step, n_rows - first);
        back_graph_.begin(kMaxCurvatureNodes);
        ggml_context* context = back_graph_.context();
        ggml_tensor* x = back_graph_.input(GGML_TYPE_F32, n_cols, n_tokens_);
        ggml_tensor* g = back_graph_.input(GGML_TYPE_F32, n_rows, n_tokens_);
        ggml_tensor* some =
            ggml_view_2d(context, g, n, n_tokens_, g->nb[1], static_cast<std::size_t>(first) * g->nb[0]);
        ggml_tensor* product = back_graph_.keep(
            ggml_mul_mat(context, contiguous_transpose(context, x), contiguous_transpose(context, some)));
        back_graph_.prefer_device(product);
        back_graph_.prepare();
        fill<float>(x, inputs);
        fill<float>(g, gradients);
        back_graph_.run();
        sums.add_squares(static_cast<std::size_t>(first), values_of(product), gradient_scale_ * gradient_scale_);
    }
    observer.matrix({.matrix = matrix, .rows = sums.rows, .columns = sums.columns});
}

void Backpropagation::show_layer_curvature(int layer, const LayerForward& forward, const LayerGradients& gradients,
                                           const CurvatureObserver& observer) {
    using R = TensorRole;
    const auto show = [&](R role, std::span<const float> inputs, const ggml_tensor* gradient) {
        show_weight_curvature({role, layer}, inputs, gradient, observer);
    };
    const std::vector<float> down_inputs = values_of(forward.feed_forward.activated);
    show(R::kDown, down_inputs, gradients.down);
    show_inputs(std::array{TensorId{R::kDown, layer}}, down_inputs, {gradients.down}, observer);
    show_channel_slopes(layer, forward, gradients, observer);
    const std::vector<float> feed_forward_inputs = values_of(forward.feed_forward.normed);
    show(R::kGate, feed_forward_inputs, gradients.gate);
    show(R::kUp, feed_forward_inputs, gradients.up);
    show_inputs(std::array{TensorId{R::kGate, layer}, TensorId{R::kUp, layer}}, feed_forward_inputs,
                {gradients.gate, gradients.up}, observer);
    if (gradients.heads == nullptr) return;
    const std::vector<float> heads = values_of(forward.heads);
    show(R::kAttentionOutput, heads, gradients.attention_output);
    show_inputs(std::array{TensorId{R::kAttentionOutput, layer}}, heads, {gradients.attention_output}, observer);
    const std::vector<float> attention_inputs = values_of(forward.projections.normed);
    show(R::kQuery, attention_inputs, gradients.query);
    show(R::kKey, attention_inputs, gradients.key);
    show(R::kValue, attention_inputs, gradients.value);
    show_inputs(std::array{TensorId{R::kQuery, layer}, TensorId{R::kKey, layer}, TensorId{R::kValue, layer}},
                attention_inputs, {gradients.query, gradients.key, gradients.value}, observer);
}

/// ∂L/∂gate of a channel = Σ over tokens of (∂L/∂up) · up: what down reads is linear in both the gate and up.
void Backpropagation::show_channel_slopes(int layer, const LayerForward& forward, const LayerGradients& gradients,
                                          const CurvatureObserver& observer) const {
    const std::vector<float> ups = values_of(forward.feed_forward.up), gradient = values_of(gradients.up);
    std::vector<double> slopes(ups.size() / static_cast<std::size_t>(n_tokens_), 0.0);
    for (std::size_t at = 0; at < ups.size(); ++at)
        slopes[at % slopes.size()] += double{ups[at]} * double{gradient[at]};
    for (double& slope : slopes) slope *= gradient_scale_;
    observer.gates({.matrix = {TensorRole::kDown, layer}, .slopes = slopes});
}

/// @param gradients  of what the matrices write, {rows, tokens}
void Backpropagation::show_inputs(std::span<const TensorId> matrices, std::span<const float> rows,
                                  std::initializer_list<const ggml_tensor*> gradients,
                                  const CurvatureObserver& observer) const {
    if (!observer.inputs) return;
    std::vector<double> energies(static_cast<std::size_t>(n_tokens_), 0.0);
    for (const ggml_tensor* gradient : gradients) {
        const std::vector<float> values = values_of(gradient);
        const std::size_t width = values.size() / energies.size();
        for (std::size_t at = 0; at < values.size(); ++at)
            energies[at / width] += double{values[at]} * double{values[at]};
    }
    for (double& energy : energies) energy *= gradient_scale_ * gradient_scale_;
    observer.inputs(
        {.matrices = matrices, .rows = rows, .channels = std::ssize(rows) / n_tokens_, .energies = energies});
}

/// A token's row takes the gradients of all its positions together.
void Backpropagation::show_lookup_curvature(const Example& example, const CurvatureObserver& observer) {
    const auto width = static_cast<std::size_t>(architecture().n_embd);
    std::vector<std::size_t> order(example.tokens.size());
    std::iota(order.begin(), order.end(), std::size_t{0});
    std::ranges::stable_sort(order, {}, [&](std::size_t at) { return example.tokens[at]; });
    const double scale = gradient_scale_ * double{architecture().multipliers.embedding};
    Sums sums(architecture().n_vocab, architecture().n_embd);
    std::vector<float> row(width);
    for (std::size_t begin = 0, end = 0; begin < order.size(); begin = end) {
        const std::int32_t token = example.tokens[order[begin]];
        std::ranges::fill(row, 0.0f);
        for (; end < order.size() && example.tokens[order[end]] == token; ++end)
            for (std::size_t col = 0; col < width; ++col) row[col] += gradient_[order[end] * width + col];
        sums.add_squares(static_cast<std::size_t>(token), row, scale * scale);
    }
    observer.matrix(
        {.matrix = {TensorRole::kTokenEmbedding}, .is_lookup = true, .rows = sums.rows, .columns = sums.columns});
}

}  // namespace plasticity
