#include "engine/decoder_memory.h"

#include <ggml-cpu.h>

#include <algorithm>
#include <vector>

#include "engine/decoder_pass.h"

namespace plasticity {
namespace {

constexpr std::int64_t kBatchTokens = 512;
/// Kernels take some memory for each; what they take for activations, most of it, does not depend on it.
constexpr int kThreads = 8;

/// Tensors that stand for weights: they have shapes, and an address that is never read, so that no memory is planned
/// for them.
class WeightShapes {
public:
    WeightShapes(const Architecture& architecture, std::size_t n_tensors)
        : context_(ggml_init({n_tensors * ggml_tensor_overhead(), nullptr, true})), width_(architecture.n_embd) {}

    ggml_tensor* vector(std::int64_t n) { return placed(ggml_new_tensor_1d(context_.get(), GGML_TYPE_F32, n)); }
    /// F16: for no quantised type do kernels convert activations to more bytes.
    ggml_tensor* matrix(std::int64_t cols, std::int64_t rows) {
        return placed(ggml_new_tensor_2d(context_.get(), GGML_TYPE_F16, cols, rows));
    }

    LayerWeights layer(const LayerGeometry& geometry, std::int64_t head_dim) {
        LayerWeights layer;
        layer.geometry = geometry;
        layer.feed_forward_norm = vector(width_);
        layer.gate = matrix(width_, geometry.n_ff);
        layer.up = matrix(width_, geometry.n_ff);
        layer.down = matrix(geometry.n_ff, width_);
        if (geometry.n_head == 0) return layer;
        layer.attention_norm = vector(width_);
        layer.query = matrix(width_, head_dim * geometry.n_head);
        layer.key = matrix(width_, head_dim * geometry.n_head_kv);
        layer.value = matrix(width_, head_dim * geometry.n_head_kv);
        layer.attention_output = matrix(head_dim * geometry.n_head, width_);
        return layer;
    }

private:
    static ggml_tensor* placed(ggml_tensor* tensor) {
        tensor->data = tensor;
        return tensor;
    }

    ggml_context_ptr context_;
    std::int64_t width_;
};

/// Two layers of each geometry, so that one follows its like: layers take the same memory one after the other.
Architecture with_distinct_layers(const Architecture& architecture) {
    Architecture distinct = architecture;
    distinct.layers.clear();
    for (const LayerGeometry& layer : architecture.layers)
        if (std::ranges::find(distinct.layers, layer) == distinct.layers.end())
            distinct.layers.insert(distinct.layers.end(), 2, layer);
    return distinct;
}

}  // namespace

DecoderMemory decoder_memory(const Architecture& architecture, std::int32_t context_length) {
    const Architecture distinct = with_distinct_layers(architecture);
    const std::int64_t n_tokens = std::min<std::int64_t>(kBatchTokens, context_length);
    WeightShapes shapes(distinct, distinct.layers.size() * 16 + 8);
    std::vector<LayerWeights> layers;
    for (const LayerGeometry& layer : distinct.layers) layers.push_back(shapes.layer(layer, distinct.head_dim));
    KvCache cache(distinct, context_length, GGML_TYPE_F16);
    cache.advance(context_length - static_cast<std::int32_t>(n_tokens));

    const Backend backend(1);
    GraphWorkspace pass_graph(backend), logits_graph(backend);
    const PassWeights weights{distinct, layers, shapes.matrix(distinct.n_embd, distinct.n_vocab),
                              shapes.vector(distinct.n_embd), nullptr};
    const PassSequence sequence{.cache = &cache, .n_tokens = n_tokens};
    build_pass(pass_graph, {.weights = weights, .sequences = std::span(&sequence, 1)});
    build_logits_pass(logits_graph, distinct, weights.token_embedding, kLogitRows);

    const auto floats = static_cast<std::uint64_t>(n_tokens * distinct.n_embd) +
                        kLogitRows * static_cast<std::uint64_t>(distinct.n_vocab);
    DecoderMemory memory{.host = sizeof(float) * floats +
                                 sizeof(ggml_fp16_t) * static_cast<std::uint64_t>(n_tokens * context_length)};
    for (GraphWorkspace* graph : {&pass_graph, &logits_graph}) {
        memory.graphs += graph->planned_bytes();
        memory.kernels =
            std::max<std::uint64_t>(memory.kernels, ggml_graph_plan(graph->graph(), kThreads, nullptr).work_size);
    }
    return memory;
}

}  // namespace plasticity
