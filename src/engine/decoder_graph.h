#pragma once

#include <ggml.h>

#include <vector>

#include "engine/lora_graph.h"
#include "engine/row_scales.h"
#include "engine/weights.h"
#include "model/architecture.h"

namespace plasticity {

/// The decoder of every family here, one block at a time, as nodes of a ggml graph:
///
///     x ─ RMSNorm ─ q, k, v ─ [RMSNorm of each q and k head] ─ RoPE(q, k) ─ attention ─ heads (× gate)
///       ─ o ─ [RMSNorm] ─ [× residual multiplier] ─(+ x)─ y
///     y ─ RMSNorm ─ gate, up ─ silu(gate)·up ─ down ─ [RMSNorm] ─ [× residual multiplier] ─(+ y)─ next x
///
/// What stands in brackets, gelu in place of silu, and which blocks rotate or see a window only, is data of the
/// architecture: no family is known by name here. Activations are F32 with ne = {channels, tokens}; heads are
/// {head_dim, heads, tokens}. A block without attention starts at y = x. The parts are separate so that generation (KV
/// cache), evaluation and backpropagation share them.

/// ∂L/∂ of a norm's weight, a bias, or the row scales of a matrix of one block, as a node of a graph.
struct VectorBack {
    TensorRole role;
    bool is_bias;
    ggml_tensor* gradient;  ///< shaped as the vector
};

/// What the nodes of one graph have in common.
struct GraphScope {
    ggml_context* context;
    const Architecture& architecture;
    ggml_tensor* positions;           ///< I32 {tokens}
    ggml_tensor* rope_factors;        ///< F32 {n_rot / 2}, or nullptr
    bool exact = false;               ///< GELU in F32; ggml's own kernel looks it up in a table of F16
    const LayerLora* lora = nullptr;  ///< adapters of the block that is built; nullptr: none
    bool on_cpu = false;              ///< all of the graph runs there
    BackwardMatrices backward = BackwardMatrices::kNone;  ///< that build_product_back gets
    const LayerRowScales* row_scales = nullptr;           ///< of the block that is built; nullptr: none
    std::vector<VectorBack>* vectors = nullptr;  ///< takes what a backward pass says of them; nullptr: nobody asks
};

/// matrix · x, summed in F32 whatever the device: some sum F16 products in F16 by themselves.
/// @param matrix  {cols, rows}
/// @param x       {cols, tokens}
ggml_tensor* build_product(const GraphScope& scope, ggml_tensor* matrix, ggml_tensor* x);
/// From the gradient of what build_product gives to that of x.
/// @param matrix    in the form of scope.backward
/// @param gradient  {rows, tokens}
ggml_tensor* build_product_back(const GraphScope& scope, ggml_tensor* matrix, ggml_tensor* gradient);

/// RMSNorm (Zhang & Sennrich 2019) with a weight per channel.
ggml_tensor* build_rms_norm(const GraphScope& scope, ggml_tensor* x, ggml_tensor* weight);

/// Rows of the embedding, {n_embd, tokens}. @param ids  I32 {tokens}
ggml_tensor* build_embedding(const GraphScope& scope, ggml_tensor* token_embedding, ggml_tensor* ids);

/// Rotates {head_dim, heads, tokens} by position (Su et al. 2021), scaled as the metadata says; the input itself in a
/// block that does not rotate.
ggml_tensor* build_rope(const GraphScope& scope, const LayerWeights& layer, ggml_tensor* heads);
/// Carries a gradient back through build_rope.
ggml_tensor* build_rope_back(const GraphScope& scope, const LayerWeights& layer, ggml_tensor* gradient);

struct Projections {
    ggml_tensor* normed;     ///< {n_embd, tokens}: what q, k and v read
    ggml_tensor* raw_query;  ///< {head_dim, n_head, tokens}: before norm and rotation
    ggml_tensor* raw_key;    ///< {head_dim, n_head_kv, tokens}
    ggml_tensor* query;      ///< normed and rotated
    ggml_tensor* key;
    ggml_tensor* value;  ///< {head_dim, n_head_kv, tokens}
};
Projections build_projections(const GraphScope& scope, const LayerWeights& layer, ggml_tensor* x);

/// 1/sqrt(head_dim) unless the metadata says otherwise.
float attention_scale(const Architecture& architecture);

/// What a part of a block adds to the residual stream.
struct Addition {
    ggml_tensor* projected;  ///< {n_embd, tokens}, before norm and multiplier
    ggml_tensor* output;     ///< {n_embd, tokens}, residual added
};

/// o-projection and the residual. @param heads  {head_dim · n_head, tokens}
Addition build_attention_output(const GraphScope& scope, const LayerWeights& layer, ggml_tensor* heads,
                                ggml_tensor* residual);

struct FeedForward {
    ggml_tensor* normed;     ///< {n_embd, tokens}: what gate and up read
    ggml_tensor* gate;       ///< {n_ff, tokens}, before silu or gelu
    ggml_tensor* up;         ///< {n_ff, tokens}
    ggml_tensor* activated;  ///< silu(gate) · up: what down reads
    ggml_tensor* projected;  ///< {n_embd, tokens}: what down gives, before norm and multiplier
    ggml_tensor* output;     ///< {n_embd, tokens}, residual added
};
FeedForward build_feed_forward(const GraphScope& scope, const LayerWeights& layer, ggml_tensor* x);

/// x/2 · (1 + tanh u) with u = √(2/π) · (x + 0.044715 x³) (Hendrycks & Gimpel 2016), in F32.
ggml_tensor* build_exact_gelu(ggml_context* context, ggml_tensor* x);
/// ∂L/∂x from ∂L/∂gelu(x): gelu′ = (1 + t)/2 + x/2 · (1 − t²) · √(2/π) · (1 + 3 · 0.044715 x²), t = tanh u.
ggml_tensor* build_gelu_back(ggml_context* context, ggml_tensor* gradient, ggml_tensor* x);

/// {n_vocab, tokens}. @param hidden  {n_embd, tokens}, after the last norm
ggml_tensor* build_logits(const GraphScope& scope, ggml_tensor* output, ggml_tensor* hidden);

}  // namespace plasticity
