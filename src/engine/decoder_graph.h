#pragma once

#include <ggml.h>

#include "engine/weights.h"
#include "model/architecture.h"

namespace plasticity {

/// The decoder of every family here, one block at a time, as nodes of a ggml graph:
///
///     x ─ RMSNorm ─ q, k, v ─ RoPE(q, k) ─ attention ─ heads (× gate) ─ o ─(+ x)─ y
///     y ─ RMSNorm ─ gate, up ─ silu(gate)·up ─ down ─(+ y)─ next x
///
/// Activations are F32 with ne = {channels, tokens}; heads are {head_dim, heads, tokens}. A block without attention
/// starts at y = x. The parts are separate so that generation (KV cache), evaluation and backpropagation share them.

/// What the nodes of one graph have in common.
struct GraphScope {
    ggml_context* context;
    const Architecture& architecture;
    ggml_tensor* positions;     ///< I32 {tokens}
    ggml_tensor* rope_factors;  ///< F32 {n_rot / 2}, or nullptr
};

/// RMSNorm (Zhang & Sennrich 2019) with a weight per channel.
ggml_tensor* build_rms_norm(const GraphScope& scope, ggml_tensor* x, ggml_tensor* weight);

/// Rotates {head_dim, heads, tokens} by position (Su et al. 2021), scaled as the metadata says.
ggml_tensor* build_rope(const GraphScope& scope, ggml_tensor* heads);
/// Carries a gradient back through build_rope.
ggml_tensor* build_rope_back(const GraphScope& scope, ggml_tensor* gradient);

struct Projections {
    ggml_tensor* normed;  ///< {n_embd, tokens}: what q, k and v read
    ggml_tensor* query;   ///< {head_dim, n_head, tokens}, rotated
    ggml_tensor* key;     ///< {head_dim, n_head_kv, tokens}, rotated
    ggml_tensor* value;   ///< {head_dim, n_head_kv, tokens}
};
Projections build_projections(const GraphScope& scope, const LayerWeights& layer, ggml_tensor* x);

/// 1/sqrt(head_dim) unless the metadata says otherwise.
float attention_scale(const Architecture& architecture);

/// o-projection and the residual. @param heads  {head_dim · n_head, tokens}
ggml_tensor* build_attention_output(const GraphScope& scope, const LayerWeights& layer, ggml_tensor* heads,
                                    ggml_tensor* residual);

struct FeedForward {
    ggml_tensor* normed;     ///< {n_embd, tokens}: what gate and up read
    ggml_tensor* gate;       ///< {n_ff, tokens}, before silu
    ggml_tensor* up;         ///< {n_ff, tokens}
    ggml_tensor* activated;  ///< silu(gate) · up: what down reads
    ggml_tensor* output;     ///< {n_embd, tokens}, residual added
};
FeedForward build_feed_forward(const GraphScope& scope, const LayerWeights& layer, ggml_tensor* x);

}  // namespace plasticity
