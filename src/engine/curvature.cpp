#include "engine/curvature.h"

#include <algorithm>
#include <numeric>

#include "core/counter_random.h"
#include "core/interrupt.h"
#include "engine/backpropagation.h"
#include "engine/layer_backward.h"
#include "engine/transpose.h"

namespace plasticity {
namespace {

constexpr std::size_t kMaxCurvatureNodes = 16;

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

/// The gradient of labels drawn from the model's own distribution, at what enters the last norm.
void Backpropagation::draw_gradient(Passage& passage, const CurvatureObserver& observer) {
    Example drawn = passage.example();
    Sums output(architecture().n_vocab, architecture().n_embd);
    const std::vector<float> last = stash_.get(last_slot(passage));
    OutputGradients gradients{.input = std::vector<float>(last.size()), .weight = {}};
    const std::int64_t n_predictions = passage.n_tokens() - 1;
    for (std::int64_t first = 0; first < n_predictions; first += kLossRows) {
        throw_if_interrupted();
        const std::int64_t n = std::min(kLossRows, n_predictions - first);
        const Prediction prediction = predict(last, first, n, true);
        std::vector<float> probabilities = values_of(prediction.probabilities);
        draw_labels(drawn, first, *passage.visit.curvature_seed, probabilities);
        add_output_curvature(values_of(prediction.hidden), probabilities, output.rows, output.columns);
        subtract_targets(drawn, first, n, prediction.probabilities);
        backward_output(last, first, n, prediction.probabilities, gradients);
    }
    observer.matrix({.matrix = weights_.output_id(),
                     .rows = output.rows,
                     .columns = output.columns,
                     .n_targets = drawn.n_targets()});
    stash_.put(passage.drawn.slot, std::move(gradients.input));
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
void Backpropagation::add_output_curvature(std::span<const float> hidden, std::span<const float> probabilities,
                                           std::vector<double>& rows, std::vector<double>& columns) const {
    const std::size_t n_vocab = rows.size(), width = columns.size(), n = hidden.size() / width;
    const double slope = 1.0 / double{architecture().multipliers.logit_divisor};
    for (std::size_t position = 0; position < n; ++position) {
        const auto inputs = hidden.subspan(position * width, width);
        double energy = 0, bend = 0;
        for (const float x : inputs) energy += double{x} * double{x};
        for (std::size_t id = 0; id < n_vocab; ++id) {
            const double p = double{probabilities[position * n_vocab + id]}, square = slope * slope * p * (1 - p);
            rows[id] += square * energy;
            bend += square;
        }
        for (std::size_t col = 0; col < width; ++col) columns[col] += bend * double{inputs[col]} * double{inputs[col]};
    }
}

/// ∂L/∂W = Σ over tokens of (∂L/∂output) · inputᵀ, some rows at a time.
void Backpropagation::show_weight_curvature(const LayerRun& run, TensorRole role, std::span<const float> inputs,
                                            const ggml_tensor* gradient, const CurvatureObserver& observer) {
    const std::int64_t n_rows = gradient->ne[0], n_cols = std::ssize(inputs) / run.n_tokens;
    const std::vector<float> gradients = values_of(gradient);
    const std::int64_t step = std::max<std::int64_t>(1, kGradientEntries / n_cols);
    const bool on_cpu = !backend_.has_device();
    Sums sums(n_rows, n_cols);
    for (std::int64_t first = 0; first < n_rows; first += step) {
        throw_if_interrupted();
        const std::int64_t n = std::min(step, n_rows - first);
        back_graph_.begin(kMaxCurvatureNodes);
        ggml_context* context = back_graph_.context();
        ggml_tensor* x = back_graph_.input(GGML_TYPE_F32, n_cols, run.n_tokens);
        ggml_tensor* g = back_graph_.input(GGML_TYPE_F32, n_rows, run.n_tokens);
        ggml_tensor* some =
            ggml_view_2d(context, g, n, run.n_tokens, g->nb[1], static_cast<std::size_t>(first) * g->nb[0]);
        ggml_tensor* product = back_graph_.keep(ggml_mul_mat(context, contiguous_transpose(context, x, on_cpu),
                                                             contiguous_transpose(context, some, on_cpu)));
        back_graph_.prefer_device(product);
        back_graph_.prepare();
        fill<float>(x, inputs);
        fill<float>(g, gradients);
        back_graph_.run();
        sums.add_squares(static_cast<std::size_t>(first), values_of(product), run.scale * run.scale);
    }
    observer.matrix(
        {.matrix = {role, run.layer}, .rows = sums.rows, .columns = sums.columns, .n_targets = run.n_targets});
}

/// All matrices that read the same rows. @param gradients  of what each writes, {rows, tokens}
void Backpropagation::show_readers(const LayerRun& run, const ggml_tensor* inputs,
                                   std::initializer_list<std::pair<TensorRole, const ggml_tensor*>> readers,
                                   const CurvatureObserver& observer) {
    const std::vector<float> rows = values_of(inputs);
    for (const auto& [role, gradient] : readers) show_weight_curvature(run, role, rows, gradient, observer);
}

void Backpropagation::show_layer_curvature(const LayerRun& run, const CurvatureObserver& observer) {
    using R = TensorRole;
    const LayerForward& forward = run.forward;
    const LayerGradients& gradients = run.gradients;
    show_readers(run, forward.feed_forward.activated, {{R::kDown, gradients.down}}, observer);
    show_channel_slopes(run, observer);
    show_readers(run, forward.feed_forward.normed, {{R::kGate, gradients.gate}, {R::kUp, gradients.up}}, observer);
    if (gradients.heads == nullptr) return;
    show_readers(run, forward.heads, {{R::kAttentionOutput, gradients.attention_output}}, observer);
    show_readers(run, forward.projections.normed,
                 {{R::kQuery, gradients.query}, {R::kKey, gradients.key}, {R::kValue, gradients.value}}, observer);
}

/// ∂L/∂gate of a channel = Σ over tokens of (∂L/∂up) · up: what down reads is linear in both the gate and up.
void Backpropagation::show_channel_slopes(const LayerRun& run, const CurvatureObserver& observer) const {
    const std::vector<float> ups = values_of(run.forward.feed_forward.up), gradient = values_of(run.gradients.up);
    std::vector<double> slopes(ups.size() / static_cast<std::size_t>(run.n_tokens), 0.0);
    for (std::size_t at = 0; at < ups.size(); ++at)
        slopes[at % slopes.size()] += double{ups[at]} * double{gradient[at]};
    for (double& slope : slopes) slope *= run.scale;
    observer.gates({.matrix = {TensorRole::kDown, run.layer}, .slopes = slopes});
}

/// A token's row takes the gradients of all its positions together.
void Backpropagation::show_lookup_curvature(const Passage& passage, const CurvatureObserver& observer) const {
    const auto width = static_cast<std::size_t>(architecture().n_embd);
    const std::vector<std::int32_t>& tokens = passage.example().tokens;
    const std::vector<float> gradient = stash_.get(passage.drawn.slot);
    std::vector<std::size_t> order(tokens.size());
    std::iota(order.begin(), order.end(), std::size_t{0});
    std::ranges::stable_sort(order, {}, [&](std::size_t at) { return tokens[at]; });
    const double scale = passage.drawn.scale * double{architecture().multipliers.embedding};
    Sums sums(architecture().n_vocab, architecture().n_embd);
    std::vector<float> row(width);
    for (std::size_t begin = 0, end = 0; begin < order.size(); begin = end) {
        const std::int32_t token = tokens[order[begin]];
        std::ranges::fill(row, 0.0f);
        for (; end < order.size() && tokens[order[end]] == token; ++end)
            for (std::size_t col = 0; col < width; ++col) row[col] += gradient[order[end] * width + col];
        sums.add_squares(static_cast<std::size_t>(token), row, scale * scale);
    }
    observer.matrix({.matrix = {TensorRole::kTokenEmbedding},
                     .is_lookup = true,
                     .rows = sums.rows,
                     .columns = sums.columns,
                     .n_targets = passage.example().n_targets()});
}

}  // namespace plasticity
