#include "engine/backpropagation.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "core/error.h"
#include "core/interrupt.h"
#include "core/units.h"
#include "engine/bf16_product.h"
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

void show(const ActivationObserver& observer, std::span<const TensorId> matrices, const ggml_tensor* rows) {
    observer(matrices, values_of(rows), rows->ne[0]);
}

/// What show_layer_curvature reads must outlive the run. @param forward  nullptr where that was kept already
void keep_curvature(GraphWorkspace& graph, const LayerForward* forward, const LayerGradients& gradients) {
    const auto keep = [&](std::initializer_list<ggml_tensor*> tensors) {
        for (ggml_tensor* read : tensors)
            if (read != nullptr) graph.keep(read);
    };
    if (forward != nullptr) {
        const FeedForward& f = forward->feed_forward;
        keep({forward->projections.normed, forward->heads, f.normed, f.up, f.activated});
    }
    keep({gradients.query, gradients.key, gradients.value, gradients.attention_output, gradients.gate, gradients.up,
          gradients.down});
}

BackwardMatrices backward_matrices(const Backend& backend, WeightPrecision precision) {
    const bool reads_across = precision == WeightPrecision::kBF16 && !backend.has_device() && multiplies_bf16();
    return reads_across ? BackwardMatrices::kSame : BackwardMatrices::kTransposed;
}

Offload plan_offload(const Model& model, const Backend& backend, const BackpropagationOptions& options,
                     Progress& progress) {
    if (!backend.has_device()) return {};
    OffloadSizes sizes = weight_sizes(
        model, {.precision = options.precision, .backward = backward_matrices(backend, options.precision)});
    const Architecture& architecture = model.architecture();
    sizes.working = scoring_graph_bytes(architecture, options.longest_example) + kernel_bytes(architecture);
    return offload_to_device(sizes, backend, options.backend, progress);
}

ScoringMemory plan_memory(const Model& model, const Backend& backend, const Offload& offload,
                          const BackpropagationOptions& options, Progress& progress) {
    const ScoringMemory memory = plan_scoring_memory(model, offload,
                                                     {.precision = options.precision,
                                                      .backward = backward_matrices(backend, options.precision),
                                                      .longest_example = options.longest_example,
                                                      .limit = options.memory_limit,
                                                      .reserved = options.reserved_memory});
    if (memory.streamed)
        progress.note(fmt::format(
            "weights pass through memory a part at a time: {} for the largest, {} to compute with, {} for activations "
            "of up to {} tokens at once, which take {}",
            format_bytes(memory.weights), format_bytes(memory.working), format_bytes(memory.stash),
            memory.tokens_at_once,
            format_bytes(memory.stash_per_token * static_cast<std::uint64_t>(memory.tokens_at_once))));
    else if (memory.activations == 0 && !backend.has_device())
        progress.note("no memory for the activations of all blocks: forward passes are computed again on the way back");
    return memory;
}

void keep_lora(GraphWorkspace& graph, std::span<const LoraMatrix> adapters, const LayerGradients& gradients) {
    for (const LoraMatrix& matrix : adapters)
        for (ggml_tensor* read : {gradients.lora.of(matrix.id.role).a, gradients.lora.of(matrix.id.role).b})
            graph.keep(read);
}

/// Keeps the largest entry near 1, where 16-bit products resolve best; a power of two, so nothing is rounded.
/// @returns what the values are to be multiplied by to be what they were
double normalise(std::vector<float>& values) {
    float largest = 0;
    for (const float value : values) largest = std::max(largest, std::fabs(value));
    if (!(largest > 0) || !std::isfinite(largest)) return 1;
    const int exponent = std::ilogb(largest);
    for (float& value : values) value = std::ldexp(value, -exponent);
    return std::ldexp(1.0, exponent);
}

std::vector<double> scaled(std::span<const float> values, double scale) {
    std::vector<double> result(values.begin(), values.end());
    for (double& value : result) value *= scale;
    return result;
}

void add_scaled(std::vector<float>& sums, const ggml_tensor* tensor, double weight) {
    const std::vector<float> values = values_of(tensor);
    for (std::size_t i = 0; i < sums.size(); ++i)
        sums[i] = static_cast<float>(double{sums[i]} + weight * double{values[i]});
}

}  // namespace

std::int64_t Example::n_targets() const {
    return targets.empty() ? 0 : std::count(targets.begin() + 1, targets.end(), std::uint8_t{1});
}

Backpropagation::Backpropagation(const Model& model, const BackpropagationOptions& options, Progress& progress)
    : backend_(options.backend, options.threads),
      backward_(backward_matrices(backend_, options.precision)),
      offload_(plan_offload(model, backend_, options, progress)),
      memory_(plan_memory(model, backend_, offload_, options, progress)),
      weights_(
          model, backend_,
          {.precision = options.precision, .backward = backward_, .streamed = memory_.streamed, .offload = offload_},
          progress),
      graph_(backend_),
      back_graph_(backend_),
      stash_({.memory_bytes = memory_.stash, .folder = options.spill_folder}) {
    if (memory_.activations == 0) return;
    for (int layer = 0; layer < architecture().n_layer(); ++layer) kept_.push_back({.graph = GraphWorkspace(backend_)});
}

std::vector<ExampleGradients> Backpropagation::sweep(std::span<const Visit> visits, const SweepObservers& observers,
                                                     const LoraTraining* training) {
    std::vector<Passage> passages = begin(visits);
    const int n_layer = architecture().n_layer();
    for (Passage& passage : passages) passage.is_kept = !kept_.empty() && passages.size() == 1;
    const double work = static_cast<double>(passages.size()) * sweep_cost();
    double done = static_cast<double>(passages.size()) * n_layer;
    const auto advance = [&](double by) {
        done += by;
        if (observers.progressed) observers.progressed(done / work);
    };
    forward(passages, nullptr, observers, sweep_cost());
    weights_.hold_output(MatrixOrders::kBoth);
    for (Passage& passage : passages) {
        compute_loss(passage, true, observers);
        if (passage.visit.curvature_seed) draw_gradient(passage, observers.curvature);
        advance(1);
    }
    for (int layer = n_layer - 1; layer >= 0; --layer) {
        weights_.hold_layer(layer, MatrixOrders::kBoth);
        for (Passage& passage : passages) {
            backward(passage, layer, observers, training);
            advance(backward_cost());
        }
    }
    std::vector<ExampleGradients> results;
    for (Passage& passage : passages) {
        if (passage.visit.curvature_seed) show_lookup_curvature(passage, observers.curvature);
        results.push_back(std::move(passage.result));
    }
    return results;
}

ExampleGradients Backpropagation::run(const Example& example, const ActivationObserver& observer) {
    const Visit visit{.example = &example, .is_observed = bool{observer}};
    return sweep(std::span(&visit, 1), {.activations = observer}).front();
}

double Backpropagation::loss(const Example& example, const Gates& gates) {
    const Visit visit{.example = &example};
    std::vector<Passage> passages = begin_forward(std::span(&visit, 1));
    forward(passages, &gates, {}, architecture().n_layer());
    weights_.hold_output(MatrixOrders::kForward);
    compute_loss(passages.front(), false, {});
    return passages.front().result.loss;
}

std::vector<double> Backpropagation::losses(std::span<const Visit> visits) {
    std::vector<Passage> passages = begin_forward(visits);
    forward(passages, nullptr, {}, architecture().n_layer());
    weights_.hold_output(MatrixOrders::kForward);
    std::vector<double> losses;
    for (Passage& passage : passages) {
        compute_loss(passage, false, {});
        losses.push_back(passage.result.loss);
    }
    return losses;
}

void Backpropagation::observe(std::span<const Example> examples, const ActivationObserver& observer,
                              const std::function<void(double)>& progressed) {
    std::vector<Visit> visits;
    for (const Example& example : examples) visits.push_back({.example = &example, .is_observed = true});
    std::vector<Passage> passages = begin_forward(visits);
    forward(passages, nullptr, {.activations = observer, .curvature = {}, .progressed = progressed},
            architecture().n_layer());
    weights_.hold_output(MatrixOrders::kForward);
    for (const Passage& passage : passages) show_output_rows(passage, observer);
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

std::vector<Backpropagation::Passage> Backpropagation::begin(std::span<const Visit> visits) {
    for (const Visit& visit : visits) require_usable(*visit.example);
    stash_.clear();
    const auto n_layer = static_cast<std::size_t>(architecture().n_layer());
    std::vector<Passage> passages;
    for (std::size_t first = 0; const Visit& visit : visits) {
        passages.push_back({.visit = visit,
                            .first_slot = first,
                            .targets = {.slot = first + n_layer + 1},
                            .drawn = {.slot = first + n_layer + 2},
                            .result = {.gates = std::vector<std::vector<double>>(n_layer)}});
        first += n_layer + 3;
    }
    return passages;
}

/// Of visits that nothing comes back from.
std::vector<Backpropagation::Passage> Backpropagation::begin_forward(std::span<const Visit> visits) {
    std::vector<Passage> passages = begin(visits);
    for (Passage& passage : passages) passage.returns = false;
    return passages;
}

/// Up to what enters the last norm. @param work  of which a block is 1: what is shown of progress
void Backpropagation::forward(std::vector<Passage>& passages, const Gates* gates, const SweepObservers& observers,
                              double work) {
    weights_.hold_embedding();
    for (const Passage& passage : passages) embed(passage);
    const int n_layer = architecture().n_layer();
    for (int layer = 0; layer < n_layer; ++layer) {
        weights_.hold_layer(layer, MatrixOrders::kForward);
        for (const Passage& passage : passages)
            forward_layer(passage, layer, gates,
                          passage.visit.is_observed ? observers.activations : ActivationObserver{});
        if (observers.progressed) observers.progressed((layer + 1) / work);
    }
}

std::size_t Backpropagation::slot_before(const Passage& passage, int layer) const {
    return passage.first_slot + (passage.returns ? static_cast<std::size_t>(layer) : 0);
}

GraphScope Backpropagation::scope_of(const GraphWorkspace& graph) const {
    return {.context = graph.context(),
            .architecture = architecture(),
            .positions = nullptr,
            .rope_factors = nullptr,
            .exact = true,
            .on_cpu = !backend_.has_device(),
            .backward = backward_};
}

GraphScope Backpropagation::scope_of_layer(const GraphWorkspace& graph, ggml_tensor* positions, const LoraInputs& lora,
                                           const RowScaleInputs& row_scales) const {
    GraphScope scope = scope_of(graph);
    scope.positions = positions;
    scope.rope_factors = weights_.rope_factors();
    scope.lora = lora.nodes();
    scope.row_scales = row_scales.nodes();
    return scope;
}

std::int64_t Backpropagation::window_of(const LayerWeights& layer, std::int64_t n_tokens) const {
    return layer.slides ? architecture().window.n_tokens : n_tokens;
}

void Backpropagation::embed(const Passage& passage) {
    graph_.begin(kMaxNodes);
    ggml_tensor* ids = graph_.input(GGML_TYPE_I32, passage.n_tokens());
    const GraphScope scope = scope_of(graph_);
    ggml_tensor* rows = graph_.keep(build_embedding(scope, weights_.token_embedding(), ids));
    graph_.prepare();
    fill<std::int32_t>(ids, passage.example().tokens);
    graph_.run();
    stash_.put(passage.first_slot, values_of(rows));
}

void Backpropagation::forward_layer(const Passage& passage, int layer, const Gates* gates,
                                    const ActivationObserver& observer) {
    throw_if_interrupted();
    const LayerWeights& weights = weights_.layer(layer);
    const std::int64_t n_tokens = passage.n_tokens();
    const auto index = static_cast<std::size_t>(layer);
    KeptLayer* kept = passage.is_kept ? &kept_[index] : nullptr;
    GraphWorkspace& graph = kept != nullptr ? kept->graph : graph_;
    graph.begin(kMaxNodes);
    const SequenceInputs sequence = declare_sequence(graph, n_tokens);
    const LoraInputs lora(graph, adapter_, layer, n_tokens, passage.visit.dropout);
    const RowScaleInputs row_scales(graph, row_scales_, layer);
    const GraphScope scope = scope_of_layer(graph, sequence.positions, lora, row_scales);
    ggml_tensor* x = graph.input(GGML_TYPE_F32, architecture().n_embd, n_tokens);
    ggml_tensor* factors = nullptr;
    if (gates != nullptr && weights.geometry.n_head > 0)
        factors = graph.input(GGML_TYPE_F32, 1, weights.geometry.n_head);
    LayerForward forward = build_layer_forward(scope, weights, x, sequence.mask, factors);
    const bool attends = weights.geometry.n_head > 0;
    if (observer) {
        if (attends)
            for (ggml_tensor* read : {forward.projections.normed, forward.heads}) graph.keep(read);
        for (ggml_tensor* read : {forward.feed_forward.normed, forward.feed_forward.activated}) graph.keep(read);
    }
    if (kept != nullptr) {
        keep_for_backward(graph, scope, weights, forward);
        kept->forward = forward;
    }
    ggml_tensor* output = graph.keep(forward.feed_forward.output);
    graph.prepare();
    fill_sequence(sequence, n_tokens, window_of(weights, n_tokens));
    fill<float>(x, stash_.get(slot_before(passage, layer)));
    lora.fill(backend_.threads());
    row_scales.fill();
    if (factors != nullptr) fill<float>(factors, (*gates)[index]);
    graph.run();
    stash_.put(slot_before(passage, layer + 1), values_of(output));
    if (!observer) return;

    using R = TensorRole;
    if (attends) {
        show(observer, {{{R::kQuery, layer}, {R::kKey, layer}, {R::kValue, layer}}}, forward.projections.normed);
        show(observer, {{{R::kAttentionOutput, layer}}}, forward.heads);
    }
    show(observer, {{{R::kGate, layer}, {R::kUp, layer}}}, forward.feed_forward.normed);
    show(observer, {{{R::kDown, layer}}}, forward.feed_forward.activated);
}

void Backpropagation::backward(Passage& passage, int layer, const SweepObservers& observers,
                               const LoraTraining* training) {
    passage.result.gates[static_cast<std::size_t>(layer)] =
        backward_layer(passage, passage.targets, layer,
                       {.vectors = observers.vectors ? &observers.vectors : nullptr, .training = training});
    if (!passage.visit.curvature_seed) return;
    const std::vector<double> slopes =
        backward_layer(passage, passage.drawn, layer, {.curvature = &observers.curvature});
    observers.curvature.gates({.matrix = {TensorRole::kAttentionOutput, layer}, .slopes = slopes});
}

/// @returns ∂L/∂gate of every head
std::vector<double> Backpropagation::backward_layer(const Passage& passage, Signal& signal, int layer,
                                                    const BackwardTakers& takers) {
    throw_if_interrupted();
    std::vector<float> gradient = stash_.get(signal.slot);
    signal.scale *= normalise(gradient);
    const LayerWeights& weights = weights_.layer(layer);
    const std::int64_t n_tokens = passage.n_tokens();
    graph_.begin(kMaxNodes);
    const SequenceInputs sequence = declare_sequence(graph_, n_tokens);
    const LoraInputs lora(graph_, adapter_, layer, n_tokens, passage.visit.dropout);
    const RowScaleInputs row_scales(graph_, row_scales_, layer);
    std::vector<VectorBack> vectors;
    GraphScope scope = scope_of_layer(graph_, sequence.positions, lora, row_scales);
    if (takers.vectors != nullptr) scope.vectors = &vectors;
    ggml_tensor* x = graph_.input(GGML_TYPE_F32, architecture().n_embd, n_tokens);
    ggml_tensor* above = graph_.input(GGML_TYPE_F32, architecture().n_embd, n_tokens);
    const LayerForward forward = passage.is_kept
                                     ? kept_forward(scope, weights, kept_[static_cast<std::size_t>(layer)].forward, x)
                                     : build_layer_forward(scope, weights, x, sequence.mask, nullptr);
    if (!passage.is_kept && forward.heads != nullptr) graph_.keep(forward.heads);
    const LayerGradients gradients = build_layer_backward(scope, weights, weights_.backward(layer), forward, above);
    if (gradients.heads != nullptr) graph_.keep(gradients.heads);
    if (takers.curvature != nullptr) keep_curvature(graph_, passage.is_kept ? nullptr : &forward, gradients);
    for (const VectorBack& vector : vectors) graph_.keep(vector.gradient);
    if (takers.training != nullptr) keep_lora(graph_, adapter_->of_layer(layer), gradients);
    graph_.keep(gradients.input);
    graph_.prepare();
    fill_sequence(sequence, n_tokens, window_of(weights, n_tokens));
    fill<float>(x, stash_.get(slot_before(passage, layer)));
    fill<float>(above, gradient);
    lora.fill(backend_.threads());
    row_scales.fill();
    graph_.run();
    const LayerRun run{.layer = layer,
                       .n_tokens = n_tokens,
                       .n_targets = passage.example().n_targets(),
                       .scale = signal.scale,
                       .forward = forward,
                       .gradients = gradients};
    if (takers.training != nullptr) add_lora_gradients(run, *takers.training);
    if (takers.curvature != nullptr) show_layer_curvature(run, *takers.curvature);
    if (takers.vectors != nullptr)
        for (const auto& [role, is_bias, node] : vectors)
            (*takers.vectors)({role, layer, is_bias}, scaled(values_of(node), signal.scale));
    stash_.put(signal.slot, values_of(gradients.input));
    return gate_slopes(run);
}

void Backpropagation::add_lora_gradients(const LayerRun& run, const LoraTraining& training) const {
    const double weight = training.weight * run.scale;
    for (const LoraMatrix& matrix : adapter_->of_layer(run.layer)) {
        const LoraBack& back = run.gradients.lora.of(matrix.id.role);
        LoraGradient& sum = training.gradients[static_cast<std::size_t>(&matrix - adapter_->matrices.data())];
        add_scaled(sum.a, back.a, weight);
        add_scaled(sum.b, back.b, weight);
    }
}

/// ∂L/∂gate of a head = Σ over tokens and dimensions of (∂L/∂gated output) · output. Summed in double, in fixed order.
std::vector<double> Backpropagation::gate_slopes(const LayerRun& run) const {
    if (run.gradients.heads == nullptr) return {};
    const std::vector<float> heads = values_of(run.forward.heads), slopes = values_of(run.gradients.heads);
    const auto n_head = static_cast<std::size_t>(weights_.layer(run.layer).geometry.n_head);
    const auto head_dim = static_cast<std::size_t>(architecture().head_dim);
    std::vector<double> gates(n_head, 0.0);
    for (std::size_t at = 0; at < heads.size(); ++at)
        gates[at / head_dim % n_head] += static_cast<double>(heads[at]) * slopes[at];
    for (double& gate : gates) gate *= run.scale;
    return gates;
}

}  // namespace plasticity
