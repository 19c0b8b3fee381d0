#include "engine/lora_graph.h"

#include "core/counter_random.h"
#include "core/parallel.h"
#include "engine/transpose.h"

namespace plasticity {
namespace {

ggml_tensor* masked(ggml_context* context, const LoraNodes& lora, ggml_tensor* x) {
    return lora.dropout != nullptr ? ggml_mul(context, x, lora.dropout) : x;
}

/// A place of its own for every matrix in the draws of one seed.
std::uint64_t matrix_seed(std::uint64_t seed, const TensorId& id) {
    return bits_at(seed,
                   static_cast<std::uint64_t>(id.layer) * lora_roles().size() + static_cast<std::uint64_t>(id.role));
}

}  // namespace

ggml_tensor* build_lora(ggml_context* context, const LoraNodes& lora, ggml_tensor* x) {
    ggml_tensor* inner = ggml_mul_mat(context, lora.a, masked(context, lora, x));  // {rank, tokens}
    return ggml_mul_mat(context, lora.b, ggml_scale(context, inner, lora.scale));
}

LoraBack build_lora_back(ggml_context* context, const LoraNodes& lora, ggml_tensor* x, ggml_tensor* gradient,
                         bool on_cpu) {
    const auto turned = [&](ggml_tensor* matrix) { return contiguous_transpose(context, matrix, on_cpu); };
    ggml_tensor* read = masked(context, lora, x);
    ggml_tensor* inner = ggml_scale(context, ggml_mul_mat(context, lora.a, read), lora.scale);
    ggml_tensor* inner_gradient =
        ggml_scale(context, ggml_mul_mat(context, turned(lora.b), gradient), lora.scale);  // {rank, tokens}
    LoraBack back;
    back.b = ggml_mul_mat(context, turned(inner), turned(gradient));
    back.a = ggml_mul_mat(context, turned(read), turned(inner_gradient));
    back.input = masked(context, lora, ggml_mul_mat(context, turned(lora.a), inner_gradient));
    return back;
}

LoraInputs::LoraInputs(GraphWorkspace& graph, const LoraAdapter* adapter, int layer, std::int64_t n_tokens,
                       const LoraDropout& dropout)
    : dropout_(dropout) {
    if (adapter == nullptr) return;
    for (const LoraMatrix& matrix : adapter->of_layer(layer)) {
        LoraNodes& nodes = nodes_.of(matrix.id.role);
        nodes = {.a = graph.input(GGML_TYPE_F32, matrix.cols, adapter->rank),
                 .b = graph.input(GGML_TYPE_F32, adapter->rank, matrix.rows),
                 .scale = static_cast<float>(adapter->scale())};
        if (dropout.probability > 0) nodes.dropout = graph.input(GGML_TYPE_F32, matrix.cols, n_tokens);
        filled_.push_back({.matrix = &matrix, .nodes = nodes, .seed = matrix_seed(dropout.seed, matrix.id)});
    }
}

void LoraInputs::fill(int threads) const {
    for (const auto& [matrix, nodes, seed] : filled_) {
        plasticity::fill<float>(nodes.a, matrix->a);
        plasticity::fill<float>(nodes.b, matrix->b);
        if (nodes.dropout == nullptr) continue;
        const auto width = static_cast<std::size_t>(nodes.dropout->ne[0]);
        const auto n_tokens = static_cast<std::size_t>(nodes.dropout->ne[1]);
        const float kept = 1.0f / (1.0f - dropout_.probability);
        std::vector<float> mask(width * n_tokens);
        const std::uint64_t draws = seed;
        parallel_for(threads, n_tokens, [&](std::size_t token) {
            for (std::size_t at = token * width; at < (token + 1) * width; ++at)
                mask[at] = uniform_at(draws, at) < double{dropout_.probability} ? 0.0f : kept;
        });
        plasticity::fill<float>(nodes.dropout, mask);
    }
}

}  // namespace plasticity
