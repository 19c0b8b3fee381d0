// The end of the network: the last norm, the output matrix and the loss, some positions at a time.

#include <algorithm>
#include <array>
#include <cmath>
#include <functional>
#include <limits>
#include <numeric>
#include <utility>

#include "core/interrupt.h"
#include "core/parallel.h"
#include "engine/backpropagation.h"
#include "engine/leaf.h"

namespace plasticity {
namespace {

constexpr std::size_t kMaxOutputNodes = 32;

/// p − q in the place of p, with q = softmax(logits). @returns Σ q (ln q − ln p)
double subtract_softmax(std::span<float> p, std::span<const float> logits) {
    const float largest = *std::ranges::max_element(logits);
    double sum = 0;
    for (const float logit : logits) sum += double{std::exp(logit - largest)};
    const double log_sum = std::log(sum);
    double divergence = 0;
    for (std::size_t i = 0; i < p.size(); ++i) {
        const double log_q = double{logits[i]} - double{largest} - log_sum;
        const float q = static_cast<float>(std::exp(log_q));
        if (q > 0)
            divergence += double{q} * (log_q - double{std::log(std::max(p[i], std::numeric_limits<float>::min()))});
        p[i] -= q;
    }
    return divergence;
}

}  // namespace

/// Position i predicts token i + 1. The division by the number of targets waits in the scale, since a probability
/// divided by it would fall below what 16-bit products resolve.
void Backpropagation::compute_loss(Passage& passage, bool want_gradient, const SweepObservers& observers) {
    const Example& example = passage.example();
    const bool is_observed = passage.visit.is_observed && observers.activations;
    const std::vector<float> last = stash_.get(last_slot(passage));
    OutputGradients gradients{
        .input = std::vector<float>(want_gradient ? last.size() : 0),
        .weight = std::vector<double>(observers.vectors ? static_cast<std::size_t>(architecture().n_embd) : 0)};
    const std::int64_t n_predictions = passage.n_tokens() - 1;
    double total = 0;
    for (std::int64_t first = 0; first < n_predictions; first += kLossRows) {
        throw_if_interrupted();
        const std::int64_t n = std::min(kLossRows, n_predictions - first);
        const Prediction prediction = predict(last, first, n, is_observed);
        if (is_observed)
            observers.activations(std::array{weights_.output_id()}, values_of(prediction.hidden),
                                  architecture().n_embd);
        total += passage.visit.teacher != nullptr ? subtract_teacher(passage.visit, first, n, prediction.probabilities)
                                                  : subtract_targets(example, first, n, prediction.probabilities);
        if (want_gradient) backward_output(last, first, n, prediction.probabilities, gradients);
    }
    passage.targets.scale = 1.0 / static_cast<double>(example.n_targets());
    passage.result.loss = total * passage.targets.scale;
    if (want_gradient) stash_.put(passage.targets.slot, std::move(gradients.input));
    if (!observers.vectors) return;
    for (double& value : gradients.weight) value *= passage.targets.scale;
    observers.vectors({TensorRole::kOutputNorm}, gradients.weight);
}

/// What the output matrix reads, without its products.
void Backpropagation::show_output_rows(const Passage& passage, const ActivationObserver& observer) {
    const std::vector<float> last = stash_.get(last_slot(passage));
    const std::int64_t n_predictions = passage.n_tokens() - 1;
    graph_.begin(kMaxOutputNodes);
    const GraphScope scope = scope_of(graph_);
    ggml_tensor* x = graph_.input(GGML_TYPE_F32, architecture().n_embd, n_predictions);
    ggml_tensor* hidden = graph_.keep(build_rms_norm(scope, x, weights_.output_norm()));
    graph_.prepare();
    fill<float>(x, rows_of(std::span(last), 0, n_predictions));
    graph_.run();
    observer(std::array{weights_.output_id()}, values_of(hidden), architecture().n_embd);
}

/// softmax of the logits of positions [first, first + n), held by graph_. @param last  what enters the last norm
Backpropagation::Prediction Backpropagation::predict(std::span<const float> last, std::int64_t first, std::int64_t n,
                                                     bool keep_hidden) {
    graph_.begin(kMaxOutputNodes);
    const GraphScope scope = scope_of(graph_);
    ggml_tensor* x = graph_.input(GGML_TYPE_F32, architecture().n_embd, n);
    ggml_tensor* hidden = build_rms_norm(scope, x, weights_.output_norm());
    if (keep_hidden) graph_.keep(hidden);
    ggml_tensor* logits = build_logits(scope, weights_.output(), hidden);
    ggml_tensor* probabilities = graph_.keep(ggml_soft_max(graph_.context(), logits));
    graph_.prepare();
    fill<float>(x, rows_of(last, first, n));
    graph_.run();
    return {.hidden = hidden, .probabilities = probabilities};
}

/// Turns probabilities into ∂(Σ cross-entropy)/∂logits = softmax − one-hot, rows without a target into zeros.
/// @returns Σ cross-entropy
double Backpropagation::subtract_targets(const Example& example, std::int64_t first, std::int64_t n,
                                         ggml_tensor* probabilities) const {
    double total = 0;
    for (std::int64_t row = 0; row < n; ++row) {
        const auto next = static_cast<std::size_t>(first + row + 1);
        const std::size_t row_start = static_cast<std::size_t>(row) * probabilities->nb[1];
        if (example.targets[next] == 0) {
            ggml_backend_tensor_memset(probabilities, 0, row_start, probabilities->nb[1]);
            continue;
        }
        const std::size_t at = row_start + static_cast<std::size_t>(example.tokens[next]) * sizeof(float);
        float p = 0;
        ggml_backend_tensor_get(probabilities, &p, at, sizeof p);
        total -= std::log(std::max(p, std::numeric_limits<float>::min()));
        p -= 1.0f;
        ggml_backend_tensor_set(probabilities, &p, at, sizeof p);
    }
    return total;
}

/// Turns probabilities into ∂(Σ KL(teacher ‖ model))/∂logits = softmax − the teacher's, rows without a target into
/// zeros.
/// @returns Σ KL
double Backpropagation::subtract_teacher(const Visit& visit, std::int64_t first, std::int64_t n,
                                         ggml_tensor* probabilities) const {
    const auto width = static_cast<std::size_t>(architecture().n_vocab);
    std::vector<float> logits, values = values_of(probabilities);
    (*visit.teacher)(first, n, logits);
    std::vector<double> divergences(static_cast<std::size_t>(n), 0.0);
    parallel_for(backend_.threads(), divergences.size(), [&](std::size_t row) {
        const auto of_row = std::span(values).subspan(row * width, width);
        if (visit.example->targets[static_cast<std::size_t>(first) + row + 1] == 0)
            std::ranges::fill(of_row, 0.0f);
        else
            divergences[row] = subtract_softmax(of_row, std::span(logits).subspan(row * width, width));
    });
    fill<float>(probabilities, values);
    return std::accumulate(divergences.begin(), divergences.end(), 0.0);
}

/// From the logits' gradient to that of what enters the last norm, and of that norm's weight.
void Backpropagation::backward_output(std::span<const float> last, std::int64_t first, std::int64_t n,
                                      ggml_tensor* logits_gradient, OutputGradients& result) {
    back_graph_.begin(kMaxOutputNodes);
    ggml_context* context = back_graph_.context();
    ggml_tensor* gradient = leaf_of(context, logits_gradient);
    ggml_tensor* x = back_graph_.input(GGML_TYPE_F32, architecture().n_embd, n);
    const GraphScope scope = scope_of(back_graph_);
    gradient = build_product_back(scope, weights_.output_backward(), gradient);
    if (const float divisor = architecture().multipliers.logit_divisor; divisor != 1.0f)
        gradient = ggml_scale(context, gradient, 1.0f / divisor);
    ggml_tensor* weight = nullptr;
    if (!result.weight.empty()) weight = back_graph_.keep(norm_weight_back(scope, gradient, weights_.output_norm(), x));
    gradient = ggml_mul(context, gradient, weights_.output_norm());
    gradient = back_graph_.keep(ggml_rms_norm_back(context, gradient, x, architecture().rms_norm_epsilon));
    back_graph_.prepare();
    fill<float>(x, rows_of(last, first, n));
    back_graph_.run();
    fetch<float>(gradient, rows_of(std::span(result.input), first, n));
    if (weight == nullptr) return;
    const std::vector<float> of_rows = values_of(weight);
    std::ranges::transform(result.weight, of_rows, result.weight.begin(), std::plus());
}

}  // namespace plasticity
