#include "engine/decoder_graph.h"

#include <cmath>

namespace plasticity {
namespace {

struct RopeParameters {
    int mode;
    float frequency_scale;
    float extrapolation;
};

RopeParameters rope_parameters(const Architecture& architecture) {
    const RopeScaling& scaling = architecture.rope_scaling;
    return {
        .mode = architecture.rope_layout == RopeLayout::kNeox ? GGML_ROPE_TYPE_NEOX : GGML_ROPE_TYPE_NORMAL,
        .frequency_scale = scaling.kind == RopeScaling::Kind::kNone ? 1.0f : 1.0f / scaling.factor,
        .extrapolation = scaling.kind == RopeScaling::Kind::kYarn ? 1.0f : 0.0f,
    };
}

ggml_tensor* project(ggml_context* context, ggml_tensor* weight, ggml_tensor* bias, ggml_tensor* x) {
    ggml_tensor* y = ggml_mul_mat(context, weight, x);
    return bias != nullptr ? ggml_add(context, y, bias) : y;
}

}  // namespace

ggml_tensor* build_rms_norm(const GraphScope& scope, ggml_tensor* x, ggml_tensor* weight) {
    return ggml_mul(scope.context, ggml_rms_norm(scope.context, x, scope.architecture.rms_norm_epsilon), weight);
}

ggml_tensor* build_rope(const GraphScope& scope, ggml_tensor* heads) {
    const Architecture& a = scope.architecture;
    const RopeParameters p = rope_parameters(a);
    return ggml_rope_ext(scope.context, heads, scope.positions, scope.rope_factors, a.n_rot, p.mode,
                         a.rope_scaling.original_context_length, a.rope_freq_base, p.frequency_scale, p.extrapolation,
                         a.rope_scaling.attention_factor, a.rope_scaling.beta_fast, a.rope_scaling.beta_slow);
}

ggml_tensor* build_rope_back(const GraphScope& scope, ggml_tensor* gradient) {
    const Architecture& a = scope.architecture;
    const RopeParameters p = rope_parameters(a);
    return ggml_rope_ext_back(scope.context, gradient, scope.positions, scope.rope_factors, a.n_rot, p.mode,
                              a.rope_scaling.original_context_length, a.rope_freq_base, p.frequency_scale,
                              p.extrapolation, a.rope_scaling.attention_factor, a.rope_scaling.beta_fast,
                              a.rope_scaling.beta_slow);
}

Projections build_projections(const GraphScope& scope, const LayerWeights& layer, ggml_tensor* x) {
    ggml_context* context = scope.context;
    const std::int64_t head_dim = scope.architecture.head_dim, n_tokens = x->ne[1];
    const auto as_heads = [&](ggml_tensor* flat, std::int32_t n_heads) {
        return ggml_reshape_3d(context, flat, head_dim, n_heads, n_tokens);
    };
    Projections p{};
    p.normed = build_rms_norm(scope, x, layer.attention_norm);
    p.query =
        build_rope(scope, as_heads(project(context, layer.query, layer.query_bias, p.normed), layer.geometry.n_head));
    p.key =
        build_rope(scope, as_heads(project(context, layer.key, layer.key_bias, p.normed), layer.geometry.n_head_kv));
    p.value = as_heads(project(context, layer.value, layer.value_bias, p.normed), layer.geometry.n_head_kv);
    return p;
}

float attention_scale(const Architecture& architecture) {
    return architecture.attention_scale != 0.0f ? architecture.attention_scale
                                                : 1.0f / std::sqrt(static_cast<float>(architecture.head_dim));
}

ggml_tensor* build_attention_output(const GraphScope& scope, const LayerWeights& layer, ggml_tensor* heads,
                                    ggml_tensor* residual) {
    ggml_tensor* y = project(scope.context, layer.attention_output, layer.attention_output_bias, heads);
    return ggml_add(scope.context, y, residual);
}

FeedForward build_feed_forward(const GraphScope& scope, const LayerWeights& layer, ggml_tensor* x) {
    ggml_context* context = scope.context;
    FeedForward f{};
    f.normed = build_rms_norm(scope, x, layer.feed_forward_norm);
    f.gate = ggml_mul_mat(context, layer.gate, f.normed);
    f.up = ggml_mul_mat(context, layer.up, f.normed);
    f.activated = ggml_swiglu_split(context, f.gate, f.up);
    f.output = ggml_add(context, ggml_mul_mat(context, layer.down, f.activated), x);
    return f;
}

}  // namespace plasticity
