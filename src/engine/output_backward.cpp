// The end of the network: the last norm, the output matrix and the loss, some positions at a time.

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <utility>

#include "core/interrupt.h"
#include "engine/backpropagation.h"
#include "engine/leaf.h"

namespace plasticity {
namespace {

constexpr std::size_t kMaxOutputNodes = 32;

}  // namespace

/// Position i predicts token i + 1. The division by the number of targets waits in the scale, since a probability
/// divided by it would fall below what 16-bit products resolve.
void Backpropagation::compute_loss(Passage& passage, bool want_gradient, const ActivationObserver& observer) {
    const Example& example = passage.example();
    const std::vector<float> last = stash_.get(last_slot(passage));
    std::vector<float> gradient(want_gradient ? last.size() : 0);
    const std::int64_t n_predictions = passage.n_tokens() - 1;
    double total = 0;
    for (std::int64_t first = 0; first < n_predictions; first += kLossRows) {
        throw_if_interrupted();
        const std::int64_t n = std::min(kLossRows, n_predictions - first);
        const Prediction prediction = predict(last, first, n, bool{observer});
        if (observer) observer(std::array{weights_.output_id()}, values_of(prediction.hidden), architecture().n_embd);
        total += subtract_targets(example, first, n, prediction.probabilities);
        if (want_gradient) backward_output(last, first, n, prediction.probabilities, gradient);
    }
    passage.targets.scale = 1.0 / static_cast<double>(example.n_targets());
    passage.result.loss = total * passage.targets.scale;
    if (want_gradient) stash_.put(passage.targets.slot, std::move(gradient));
}

/// What the output matrix reads, without its products.
void Backpropagation::show_output_rows(const Passage& passage, const ActivationObserver& observer) {
    const std::vector<float> last = stash_.get(last_slot(passage));
    const std::int64_t n_predictions = passage.n_tokens() - 1;
    graph_.begin(kMaxOutputNodes);
    const GraphScope scope{graph_.context(), architecture(), nullptr, nullptr};
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
    const GraphScope scope{graph_.context(), architecture(), nullptr, nullptr};
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

/// From the logits' gradient to that of what enters the last norm.
void Backpropagation::backward_output(std::span<const float> last, std::int64_t first, std::int64_t n,
                                      ggml_tensor* logits_gradient, std::vector<float>& result) {
    back_graph_.begin(kMaxOutputNodes);
    ggml_context* context = back_graph_.context();
    ggml_tensor* gradient = leaf_of(context, logits_gradient);
    ggml_tensor* x = back_graph_.input(GGML_TYPE_F32, architecture().n_embd, n);
    gradient = build_product(context, weights_.output_transposed(), gradient);
    if (const float divisor = architecture().multipliers.logit_divisor; divisor != 1.0f)
        gradient = ggml_scale(context, gradient, 1.0f / divisor);
    gradient = ggml_mul(context, gradient, weights_.output_norm());
    gradient = back_graph_.keep(ggml_rms_norm_back(context, gradient, x, architecture().rms_norm_epsilon));
    back_graph_.prepare();
    fill<float>(x, rows_of(last, first, n));
    back_graph_.run();
    fetch<float>(gradient, rows_of(std::span(result), first, n));
}

}  // namespace plasticity
