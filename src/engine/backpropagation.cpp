#include "engine/backpropagation.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "core/error.h"
#include "core/interrupt.h"
#include "engine/device_memory.h"
#include "engine/layer_backward.h"

namespace plasticity {
namespace {

constexpr std::size_t kMaxNodes = 768;

struct SequenceInputs {
    ggml_tensor* positions;
    ggml_tensor* mask;
};

SequenceInputs declare_sequence(GraphWorkspace& graph, std::int64_t n_tokens) {
    SequenceInputs inputs{graph.input(GGML_TYPE_I32, n_tokens), graph.input(GGML_TYPE_F32, n_tokens, n_tokens)};
    ggml_build_forward_expand(graph.graph(), inputs.positions);  // a block without attention reads neither
    ggml_build_forward_expand(graph.graph(), inputs.mask);
    return inputs;
}

/// @param window  tokens that a query sees, its own included
void fill_sequence(const SequenceInputs& inputs, std::int64_t n_tokens, std::int64_t window) {
    std::vector<std::int32_t> positions(static_cast<std::size_t>(n_tokens));
    std::iota(positions.begin(), positions.end(), 0);
    std::vector<float> mask(static_cast<std::size_t>(n_tokens * n_tokens), -std::numeric_limits<float>::infinity());
    for (std::int64_t query = 0; query < n_tokens; ++query) {
        const std::int64_t seen = std::min(query + 1, window);
        std::fill_n(mask.begin() + query * n_tokens + query + 1 - seen, seen, 0.0f);
    }
    fill<std::int32_t>(inputs.positions, positions);
    fill<float>(inputs.mask, mask);
}

void observe(const ActivationObserver& observer, std::span<const TensorId> matrices, const ggml_tensor* rows) {
    std::vector<float> values(static_cast<std::size_t>(ggml_nelements(rows)));
    fetch<float>(rows, values);
    observer(matrices, values, rows->ne[0]);
}

/// What show_layer_curvature reads must outlive the run.
void keep_curvature(GraphWorkspace& graph, const LayerForward& forward, const LayerGradients& gradients) {
    for (ggml_tensor* read :
         {forward.projections.normed, forward.heads, forward.feed_forward.normed, forward.feed_forward.up,
          forward.feed_forward.activated, gradients.query, gradients.key, gradients.value, gradients.attention_output,
          gradients.gate, gradients.up, gradients.down})
        if (read != nullptr) graph.keep(read);
}

/// An upper bound of what a block's passes, forward and backward, and the vocabulary's share of them hold.
std::uint64_t graph_bytes(const Architecture& a, std::int64_t n_tokens, std::int64_t loss_rows) {
    std::int64_t largest = 4 * loss_rows * a.n_vocab;
    for (const LayerGeometry& layer : a.layers) {
        const std::int64_t heads = std::int64_t{a.head_dim} * (layer.n_head + 2 * layer.n_head_kv);
        const std::int64_t per_token = 6 * layer.n_head * n_tokens + 12 * heads + 10 * layer.n_ff + 24 * a.n_embd;
        largest = std::max(largest, per_token * n_tokens);
    }
    return sizeof(float) * static_cast<std::uint64_t>(largest);
}

Offload plan_offload(const Model& model, const Backend& backend, const BackpropagationOptions& options,
                     std::int64_t loss_rows, Progress& progress) {
    if (!backend.has_device()) return {};
    OffloadSizes sizes = weight_sizes(model, {.precision = options.precision, .with_transposed = true});
    const Architecture& architecture = model.architecture();
    sizes.working = graph_bytes(architecture, options.longest_example, loss_rows) + kernel_bytes(architecture);
    return offload_to_device(sizes, backend, options.backend, progress);
}

void keep_lora(GraphWorkspace& graph, std::span<const LoraMatrix> adapters, const LayerGradients& gradients) {
    for (const LoraMatrix& matrix : adapters)
        for (ggml_tensor* read : {gradients.lora.of(matrix.id.role).a, gradients.lora.of(matrix.id.role).b})
            graph.keep(read);
}

void add_scaled(std::vector<float>& sums, const ggml_tensor* tensor, double weight) {
    std::vector<float> values(sums.size());
    fetch<float>(tensor, values);
    for (std::size_t i = 0; i < sums.size(); ++i)
        sums[i] = static_cast<float>(double{sums[i]} + weight * double{values[i]});
}

}  // namespace

template <typename Rows>
auto Backpropagation::rows_of(Rows& values, std::int64_t first, std::int64_t n) const {
    const auto width = static_cast<std::size_t>(architecture().n_embd);
    return std::span(values).subspan(static_cast<std::size_t>(first) * width, static_cast<std::size_t>(n) * width);
}

std::int64_t Example::n_targets() const {
    return targets.empty() ? 0 : std::count(targets.begin() + 1, targets.end(), std::uint8_t{1});
}

Backpropagation::Backpropagation(const Model& model, const BackpropagationOptions& options, Progress& progress)
    : backend_(options.backend, options.threads),
      offload_(plan_offload(model, backend_, options, kLossRows, progress)),
      weights_(model, backend_, {.precision = options.precision, .with_transposed = true, .offload = offload_},
               progress),
      graph_(backend_),
      back_graph_(backend_),
      inputs_(static_cast<std::size_t>(model.architecture().n_layer()) + 1) {}

ExampleGradients Backpropagation::run(const Example& example, const ActivationObserver& observer,
                                      const LoraTraining* training) {
    require_usable(example);
    dropout_ = training != nullptr ? training->dropout : LoraDropout{};
    embed(example);
    const int n_layer = architecture().n_layer();
    for (int layer = 0; layer < n_layer; ++layer) forward_layer(layer, nullptr, observer);

    ExampleGradients result;
    result.loss = loss_and_gradient(example, true, observer);
    result.gates.resize(static_cast<std::size_t>(n_layer));
    for (int layer = n_layer - 1; layer >= 0; --layer)
        result.gates[static_cast<std::size_t>(layer)] = backward_layer(layer, nullptr, training);
    return result;
}

double Backpropagation::loss(const Example& example, const Gates& gates) {
    return forward_loss(example, &gates);
}

double Backpropagation::loss(const Example& example) {
    return forward_loss(example, nullptr);
}

double Backpropagation::forward_loss(const Example& example, const Gates* gates) {
    require_usable(example);
    dropout_ = {};
    embed(example);
    for (int layer = 0; layer < architecture().n_layer(); ++layer) forward_layer(layer, gates, {});
    return loss_and_gradient(example, false, {});
}

void Backpropagation::require_usable(const Example& example) const {
    if (example.targets.size() != example.tokens.size() || example.n_targets() == 0)
        throw Error(ErrorKind::kMalformed,
                    fmt::format("score: an example of {} tokens asks for {} targets; expected at least one token to "
                                "be predicted from those before it",
                                example.tokens.size(), example.n_targets()));
    for (const std::int32_t token : example.tokens)
        if (token < 0 || token >= architecture().n_vocab)
            throw Error(ErrorKind::kMalformed,
                        fmt::format("score: token id {}; expected 0 to {}. Is the data tokenised for this model?",
                                    token, architecture().n_vocab - 1));
}

std::int64_t Backpropagation::window_of(const LayerWeights& layer) const {
    return layer.slides ? architecture().window.n_tokens : n_tokens_;
}

void Backpropagation::embed(const Example& example) {
    n_tokens_ = static_cast<std::int64_t>(example.tokens.size());
    graph_.begin(kMaxNodes);
    ggml_tensor* ids = graph_.input(GGML_TYPE_I32, n_tokens_);
    const GraphScope scope{graph_.context(), architecture(), nullptr, nullptr};
    ggml_tensor* rows = graph_.keep(build_embedding(scope, weights_.token_embedding(), ids));
    graph_.prepare();
    fill<std::int32_t>(ids, example.tokens);
    graph_.run();
    inputs_[0].resize(static_cast<std::size_t>(ggml_nelements(rows)));
    fetch<float>(rows, inputs_[0]);
}

void Backpropagation::forward_layer(int layer, const Gates* gates, const ActivationObserver& observer) {
    throw_if_interrupted();
    const LayerWeights& weights = weights_.layer(layer);
    const auto index = static_cast<std::size_t>(layer);
    graph_.begin(kMaxNodes);
    const SequenceInputs sequence = declare_sequence(graph_, n_tokens_);
    const LoraInputs lora(graph_, adapter_, layer, n_tokens_, dropout_);
    const GraphScope scope{graph_.context(),        architecture(), sequence.positions,
                           weights_.rope_factors(), true,           lora.nodes()};
    ggml_tensor* x = graph_.input(GGML_TYPE_F32, architecture().n_embd, n_tokens_);
    ggml_tensor* factors = nullptr;
    if (gates != nullptr && weights.geometry.n_head > 0)
        factors = graph_.input(GGML_TYPE_F32, 1, weights.geometry.n_head);
    const LayerForward forward = build_layer_forward(scope, weights, x, sequence.mask, factors);
    const bool attends = weights.geometry.n_head > 0;
    if (observer) {
        if (attends)
            for (ggml_tensor* read : {forward.projections.normed, forward.heads}) graph_.keep(read);
        for (ggml_tensor* read : {forward.feed_forward.normed, forward.feed_forward.activated}) graph_.keep(read);
    }
    ggml_tensor* output = graph_.keep(forward.feed_forward.output);
    graph_.prepare();
    fill_sequence(sequence, n_tokens_, window_of(weights));
    fill<float>(x, inputs_[index]);
    lora.fill(backend_.threads());
    if (factors != nullptr) fill<float>(factors, (*gates)[index]);
    graph_.run();
    inputs_[index + 1].resize(inputs_[index].size());
    fetch<float>(output, inputs_[index + 1]);
    if (!observer) return;

    using R = TensorRole;
    if (attends) {
        observe(observer, {{{R::kQuery, layer}, {R::kKey, layer}, {R::kValue, layer}}}, forward.projections.normed);
        observe(observer, {{{R::kAttentionOutput, layer}}}, forward.heads);
    }
    observe(observer, {{{R::kGate, layer}, {R::kUp, layer}}}, forward.feed_forward.normed);
    observe(observer, {{{R::kDown, layer}}}, forward.feed_forward.activated);
}

/// Position i predicts token i + 1. The division by the number of targets waits in gradient_scale_, since a probability
/// divided by it would fall below what 16-bit products resolve.
double Backpropagation::loss_and_gradient(const Example& example, bool want_gradient,
                                          const ActivationObserver& observer) {
    if (want_gradient) gradient_.assign(inputs_.back().size(), 0.0f);
    double total = 0;
    for (std::int64_t first = 0; first + 1 < n_tokens_; first += kLossRows) {
        throw_if_interrupted();
        const std::int64_t n = std::min(kLossRows, n_tokens_ - 1 - first);
        const Prediction prediction = predict(first, n, bool{observer});
        if (observer) observe(observer, {{output_matrix()}}, prediction.hidden);
        total += subtract_targets(example, first, n, prediction.probabilities);
        if (want_gradient) backward_output(first, n, prediction.probabilities);
    }
    gradient_scale_ = 1.0 / static_cast<double>(example.n_targets());
    return total * gradient_scale_;
}

TensorId Backpropagation::output_matrix() const {
    return {architecture().tied_embeddings ? TensorRole::kTokenEmbedding : TensorRole::kOutput};
}

/// softmax of the logits of positions [first, first + n), held by graph_.
Backpropagation::Prediction Backpropagation::predict(std::int64_t first, std::int64_t n, bool keep_hidden) {
    graph_.begin(kMaxNodes);
    const GraphScope scope{graph_.context(), architecture(), nullptr, nullptr};
    ggml_tensor* x = graph_.input(GGML_TYPE_F32, architecture().n_embd, n);
    ggml_tensor* hidden = build_rms_norm(scope, x, weights_.output_norm());
    if (keep_hidden) graph_.keep(hidden);
    ggml_tensor* logits = build_logits(scope, weights_.output(), hidden);
    ggml_tensor* probabilities = graph_.keep(ggml_soft_max(graph_.context(), logits));
    graph_.prepare();
    fill<float>(x, rows_of(inputs_.back(), first, n));
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
void Backpropagation::backward_output(std::int64_t first, std::int64_t n, ggml_tensor* logits_gradient) {
    back_graph_.begin(kMaxNodes);
    ggml_context* context = back_graph_.context();
    // The same memory as a leaf: as a node it would be computed again.
    ggml_tensor* gradient = ggml_new_tensor_2d(context, GGML_TYPE_F32, logits_gradient->ne[0], n);
    ggml_backend_tensor_alloc(logits_gradient->buffer, gradient, logits_gradient->data);
    ggml_tensor* x = back_graph_.input(GGML_TYPE_F32, architecture().n_embd, n);
    gradient = build_product(context, weights_.output_transposed(), gradient);
    if (const float divisor = architecture().multipliers.logit_divisor; divisor != 1.0f)
        gradient = ggml_scale(context, gradient, 1.0f / divisor);
    gradient = ggml_mul(context, gradient, weights_.output_norm());
    gradient = back_graph_.keep(ggml_rms_norm_back(context, gradient, x, architecture().rms_norm_epsilon));
    back_graph_.prepare();
    fill<float>(x, rows_of(inputs_.back(), first, n));
    back_graph_.run();
    fetch<float>(gradient, rows_of(gradient_, first, n));
}

/// @returns ∂L/∂gate of every head. @param observer  nullptr: none
/// @param training  nullptr: adapters get no gradients
std::vector<double> Backpropagation::backward_layer(int layer, const CurvatureObserver* observer,
                                                    const LoraTraining* training) {
    throw_if_interrupted();
    rescale_gradient();
    const LayerWeights& weights = weights_.layer(layer);
    const auto index = static_cast<std::size_t>(layer);
    graph_.begin(kMaxNodes);
    const SequenceInputs sequence = declare_sequence(graph_, n_tokens_);
    const LoraInputs lora(graph_, adapter_, layer, n_tokens_, dropout_);
    const GraphScope scope{graph_.context(),        architecture(), sequence.positions,
                           weights_.rope_factors(), true,           lora.nodes()};
    ggml_tensor* x = graph_.input(GGML_TYPE_F32, architecture().n_embd, n_tokens_);
    ggml_tensor* above = graph_.input(GGML_TYPE_F32, architecture().n_embd, n_tokens_);
    const LayerForward forward = build_layer_forward(scope, weights, x, sequence.mask, nullptr);
    if (forward.heads != nullptr) graph_.keep(forward.heads);
    const LayerGradients gradients = build_layer_backward(scope, weights, weights_.transposed(layer), forward, above);
    if (gradients.heads != nullptr) graph_.keep(gradients.heads);
    if (observer != nullptr) keep_curvature(graph_, forward, gradients);
    if (training != nullptr) keep_lora(graph_, adapter_->of_layer(layer), gradients);
    graph_.keep(gradients.input);
    graph_.prepare();
    fill_sequence(sequence, n_tokens_, window_of(weights));
    fill<float>(x, inputs_[index]);
    fill<float>(above, gradient_);
    lora.fill(backend_.threads());
    graph_.run();
    if (training != nullptr) add_lora_gradients(layer, gradients, *training);
    if (observer != nullptr) show_layer_curvature(layer, forward, gradients, *observer);
    fetch<float>(gradients.input, gradient_);
    return gate_slopes(weights, forward, gradients);
}

void Backpropagation::add_lora_gradients(int layer, const LayerGradients& gradients,
                                         const LoraTraining& training) const {
    const double weight = training.weight * gradient_scale_;
    for (const LoraMatrix& matrix : adapter_->of_layer(layer)) {
        const LoraBack& back = gradients.lora.of(matrix.id.role);
        LoraGradient& sum = training.gradients[static_cast<std::size_t>(&matrix - adapter_->matrices.data())];
        add_scaled(sum.a, back.a, weight);
        add_scaled(sum.b, back.b, weight);
    }
}

/// ∂L/∂gate of a head = Σ over tokens and dimensions of (∂L/∂gated output) · output. Summed in double, in fixed order.
std::vector<double> Backpropagation::gate_slopes(const LayerWeights& weights, const LayerForward& forward,
                                                 const LayerGradients& gradients) const {
    if (gradients.heads == nullptr) return {};
    std::vector<float> heads(static_cast<std::size_t>(ggml_nelements(forward.heads))), slopes(heads.size());
    fetch<float>(forward.heads, heads);
    fetch<float>(gradients.heads, slopes);
    const auto n_head = static_cast<std::size_t>(weights.geometry.n_head);
    const auto head_dim = static_cast<std::size_t>(architecture().head_dim);
    std::vector<double> gates(n_head, 0.0);
    for (std::size_t at = 0; at < heads.size(); ++at)
        gates[at / head_dim % n_head] += static_cast<double>(heads[at]) * slopes[at];
    for (double& gate : gates) gate *= gradient_scale_;
    return gates;
}

/// Keeps the largest entry near 1, where 16-bit products resolve best; a power of two, so nothing is rounded.
void Backpropagation::rescale_gradient() {
    float largest = 0;
    for (const float value : gradient_) largest = std::max(largest, std::fabs(value));
    if (!(largest > 0) || !std::isfinite(largest)) return;
    const int exponent = std::ilogb(largest);
    for (float& value : gradient_) value = std::ldexp(value, -exponent);
    gradient_scale_ = std::ldexp(gradient_scale_, exponent);
}

}  // namespace plasticity
