#pragma once

#include <cstdint>

#include "engine/backend.h"
#include "engine/decoder_graph.h"

namespace plasticity {

/// A block's forward pass with everything that its backward pass needs, for one sequence from position 0.
struct LayerForward {
    ggml_tensor* input;          ///< {n_embd, tokens}
    Projections projections;     ///< members nullptr in a block without attention
    ggml_tensor* queries;        ///< {head_dim, tokens, n_head}
    ggml_tensor* keys;           ///< {head_dim, tokens, n_head_kv}: a permuted view
    ggml_tensor* values;         ///< likewise
    ggml_tensor* probabilities;  ///< {tokens (keys), tokens (queries), n_head}
    ggml_tensor* heads;          ///< {head_dim · n_head, tokens}, before the gates
    ggml_tensor* projected;      ///< {n_embd, tokens}: what o gives
    ggml_tensor* attended;       ///< {n_embd, tokens}: input plus attention
    FeedForward feed_forward;
};

/// @param mask   F32 {tokens, tokens}: 0 where a query of this block may look, −∞ elsewhere
/// @param gates  F32 {1, n_head}: a factor on every head's output; nullptr: all 1
LayerForward build_layer_forward(const GraphScope& scope, const LayerWeights& layer, ggml_tensor* x, ggml_tensor* mask,
                                 ggml_tensor* gates);

/// Keeps what build_layer_backward reads, so that the pass need not be computed again.
void keep_for_backward(GraphWorkspace& graph, const GraphScope& scope, const LayerWeights& layer,
                       LayerForward& forward);
/// A pass that has run and was kept, as leaves of another graph. @param x  {n_embd, tokens}: its input, of that graph
LayerForward kept_forward(const GraphScope& scope, const LayerWeights& layer, const LayerForward& forward,
                          ggml_tensor* x);
/// Bytes that keeping takes, at most.
std::uint64_t kept_forward_bytes(const Architecture& architecture, const LayerGeometry& layer, std::int64_t n_tokens);

/// Gradients of a scalar loss with respect to what a block holds. Those named after a matrix are of what it writes,
/// {rows, tokens}; the attention's are nullptr in a block without.
struct LayerGradients {
    ggml_tensor *query, *key, *value;  ///< before RoPE
    ggml_tensor* heads;                ///< {head_dim · n_head, tokens}
    ggml_tensor* attention_output;
    ggml_tensor *gate, *up, *down;
    ggml_tensor* input;  ///< {n_embd, tokens}
    LayerLoraBack lora;  ///< of the scope's adapters
};

/// ∂L/∂weight of RMSNorm(x) · weight, summed over all but the first dimension.
/// @param normed_gradient  ∂L/∂ of the product, shaped as x
ggml_tensor* norm_weight_back(const GraphScope& scope, ggml_tensor* normed_gradient, ggml_tensor* weight,
                              ggml_tensor* x);

/// Backpropagation through build_layer_forward's block with gates of 1. The weights are frozen: only activations and
/// adapters get gradients, every one by a product against a weight (build_product_back).
/// @param gradient  ∂L/∂output, {n_embd, tokens}
LayerGradients build_layer_backward(const GraphScope& scope, const LayerWeights& layer, const BackwardLayer& backward,
                                    const LayerForward& forward, ggml_tensor* gradient);

}  // namespace plasticity
