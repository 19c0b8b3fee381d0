#include "engine/decoder_graph.h"

#include <cmath>

#include "engine/bf16_product.h"

namespace plasticity {
namespace {

struct RopeParameters {
    int mode = 0;
    ggml_tensor* factors = nullptr;
    float frequency_base = 0;
    float frequency_scale = 1.0f;
    float extrapolation = 0.0f;
};

/// Blocks with a window have a base of their own and no scaling.
RopeParameters rope_parameters(const GraphScope& scope, const LayerWeights& layer) {
    const Architecture& architecture = scope.architecture;
    const RopeScaling& scaling = architecture.rope_scaling;
    RopeParameters p;
    p.mode = architecture.rope_layout == RopeLayout::kNeox ? GGML_ROPE_TYPE_NEOX : GGML_ROPE_TYPE_NORMAL;
    p.frequency_base = layer.slides ? architecture.window.rope_freq_base : architecture.rope_freq_base;
    if (layer.slides) return p;
    p.factors = scope.rope_factors;
    p.frequency_scale = scaling.kind == RopeScaling::Kind::kNone ? 1.0f : 1.0f / scaling.factor;
    p.extrapolation = scaling.kind == RopeScaling::Kind::kYarn ? 1.0f : 0.0f;
    return p;
}

/// What several matrices read. The rows of some are longer than it has channels (model/column_padding.h): those get
/// zeros behind the channels, made once for all.
class MatrixInput {
public:
    MatrixInput(const GraphScope& scope, ggml_tensor* x) : scope_(scope), x_(x) {}

    ggml_tensor* times(ggml_tensor* weight, ggml_tensor* bias = nullptr, const LoraNodes& lora = {},
                       ggml_tensor* row_scales = nullptr) {
        ggml_context* context = scope_.context;
        ggml_tensor* y = build_product(scope_, weight, of_length(weight->ne[0]));
        if (row_scales != nullptr) y = ggml_mul(context, y, row_scales);
        if (lora.a != nullptr) y = ggml_add(context, y, build_lora(context, lora, x_));
        return bias != nullptr ? ggml_add(context, y, bias) : y;
    }

private:
    ggml_tensor* of_length(std::int64_t length) {
        if (length == x_->ne[0]) return x_;
        if (padded_ == nullptr || padded_->ne[0] != length)
            padded_ = ggml_pad(scope_.context, x_, static_cast<int>(length - x_->ne[0]), 0, 0, 0);
        return padded_;
    }

    const GraphScope& scope_;
    ggml_tensor* x_;
    ggml_tensor* padded_ = nullptr;
};

/// Without the columns behind the first `n`.
ggml_tensor* cut_to(ggml_context* context, ggml_tensor* rows, std::int64_t n) {
    if (rows->ne[0] == n) return rows;
    return ggml_cont(context, ggml_view_2d(context, rows, n, rows->ne[1], rows->nb[1], 0));
}

const LayerLora& lora_of(const GraphScope& scope) {
    static constexpr LayerLora kNone{};
    return scope.lora != nullptr ? *scope.lora : kNone;
}

const LayerRowScales& row_scales_of(const GraphScope& scope) {
    static constexpr LayerRowScales kNone{};
    return scope.row_scales != nullptr ? *scope.row_scales : kNone;
}

constexpr float kGeluRoot = 0.79788456080286535588f;  // √(2/π)
constexpr float kGeluCubic = 0.044715f;

ggml_tensor* gelu_tanh(ggml_context* context, ggml_tensor* x) {
    ggml_tensor* slope = ggml_scale_bias(context, ggml_sqr(context, x), kGeluRoot * kGeluCubic, kGeluRoot);
    return ggml_tanh(context, ggml_mul(context, x, slope));
}

ggml_tensor* activated(const GraphScope& scope, ggml_tensor* gate, ggml_tensor* up) {
    ggml_context* context = scope.context;
    if (scope.architecture.features.activation == Activation::kSilu) return ggml_swiglu_split(context, gate, up);
    if (scope.exact) return ggml_mul(context, build_exact_gelu(context, gate), up);
    return ggml_geglu_split(context, gate, up);
}

ggml_tensor* multiplied(ggml_context* context, ggml_tensor* x, float factor) {
    return factor == 1.0f ? x : ggml_scale(context, x, factor);
}

ggml_tensor* added_to(const GraphScope& scope, ggml_tensor* residual, ggml_tensor* projected, ggml_tensor* post_norm) {
    ggml_tensor* y = post_norm != nullptr ? build_rms_norm(scope, projected, post_norm) : projected;
    return ggml_add(scope.context, multiplied(scope.context, y, scope.architecture.multipliers.residual), residual);
}

}  // namespace

ggml_tensor* build_product(const GraphScope& scope, ggml_tensor* matrix, ggml_tensor* x) {
    if (scope.on_cpu && matrix->type == GGML_TYPE_BF16 && matrix->ne[0] % 2 == 0 && multiplies_bf16())
        return build_bf16_product(scope.context, matrix, x);
    ggml_tensor* y = ggml_mul_mat(scope.context, matrix, x);
    ggml_prec_set_acc(y, GGML_PREC_F32);
    return y;
}

ggml_tensor* build_product_back(const GraphScope& scope, ggml_tensor* matrix, ggml_tensor* gradient) {
    if (scope.backward == BackwardMatrices::kSame) return build_bf16_product_back(scope.context, matrix, gradient);
    return build_product(scope, matrix, gradient);
}

ggml_tensor* build_rms_norm(const GraphScope& scope, ggml_tensor* x, ggml_tensor* weight) {
    return ggml_mul(scope.context, ggml_rms_norm(scope.context, x, scope.architecture.rms_norm_epsilon), weight);
}

ggml_tensor* build_embedding(const GraphScope& scope, ggml_tensor* token_embedding, ggml_tensor* ids) {
    ggml_tensor* rows = ggml_get_rows(scope.context, token_embedding, ids);
    return multiplied(scope.context, cut_to(scope.context, rows, scope.architecture.n_embd),
                      scope.architecture.multipliers.embedding);
}

ggml_tensor* build_rope(const GraphScope& scope, const LayerWeights& layer, ggml_tensor* heads) {
    if (!layer.rotates) return heads;
    const Architecture& a = scope.architecture;
    const RopeParameters p = rope_parameters(scope, layer);
    return ggml_rope_ext(scope.context, heads, scope.positions, p.factors, a.n_rot, p.mode,
                         a.rope_scaling.original_context_length, p.frequency_base, p.frequency_scale, p.extrapolation,
                         a.rope_scaling.attention_factor, a.rope_scaling.beta_fast, a.rope_scaling.beta_slow);
}

ggml_tensor* build_rope_back(const GraphScope& scope, const LayerWeights& layer, ggml_tensor* gradient) {
    if (!layer.rotates) return gradient;
    const Architecture& a = scope.architecture;
    const RopeParameters p = rope_parameters(scope, layer);
    return ggml_rope_ext_back(scope.context, gradient, scope.positions, p.factors, a.n_rot, p.mode,
                              a.rope_scaling.original_context_length, p.frequency_base, p.frequency_scale,
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
    MatrixInput input(scope, p.normed);
    const LayerLora& lora = lora_of(scope);
    const LayerRowScales& scales = row_scales_of(scope);
    p.raw_query = as_heads(input.times(layer.query, layer.query_bias, lora.query, scales.query), layer.geometry.n_head);
    p.raw_key = as_heads(input.times(layer.key, layer.key_bias, lora.key, scales.key), layer.geometry.n_head_kv);
    const auto normed_heads = [&](ggml_tensor* heads, ggml_tensor* norm) {
        return norm != nullptr ? build_rms_norm(scope, heads, norm) : heads;
    };
    p.query = build_rope(scope, layer, normed_heads(p.raw_query, layer.query_norm));
    p.key = build_rope(scope, layer, normed_heads(p.raw_key, layer.key_norm));
    p.value = as_heads(input.times(layer.value, layer.value_bias, lora.value, scales.value), layer.geometry.n_head_kv);
    return p;
}

float attention_scale(const Architecture& architecture) {
    return architecture.attention_scale != 0.0f ? architecture.attention_scale
                                                : 1.0f / std::sqrt(static_cast<float>(architecture.head_dim));
}

Addition build_attention_output(const GraphScope& scope, const LayerWeights& layer, ggml_tensor* heads,
                                ggml_tensor* residual) {
    Addition a{};
    a.projected = MatrixInput(scope, heads)
                      .times(layer.attention_output, layer.attention_output_bias, lora_of(scope).attention_output,
                             row_scales_of(scope).attention_output);
    a.output = added_to(scope, residual, a.projected, layer.attention_post_norm);
    return a;
}

FeedForward build_feed_forward(const GraphScope& scope, const LayerWeights& layer, ggml_tensor* x) {
    FeedForward f{};
    f.normed = build_rms_norm(scope, x, layer.feed_forward_norm);
    MatrixInput input(scope, f.normed);
    const LayerLora& lora = lora_of(scope);
    const LayerRowScales& scales = row_scales_of(scope);
    f.gate = input.times(layer.gate, nullptr, lora.gate, scales.gate);
    f.up = input.times(layer.up, nullptr, lora.up, scales.up);
    f.activated = activated(scope, f.gate, f.up);
    f.projected = MatrixInput(scope, f.activated).times(layer.down, nullptr, lora.down, scales.down);
    f.output = added_to(scope, x, f.projected, layer.feed_forward_post_norm);
    return f;
}

ggml_tensor* build_exact_gelu(ggml_context* context, ggml_tensor* x) {
    return ggml_mul(context, x, ggml_scale_bias(context, gelu_tanh(context, x), 0.5f, 0.5f));
}

ggml_tensor* build_gelu_back(ggml_context* context, ggml_tensor* gradient, ggml_tensor* x) {
    ggml_tensor* t = gelu_tanh(context, x);
    ggml_tensor* du = ggml_scale_bias(context, ggml_sqr(context, x), 3 * kGeluRoot * kGeluCubic, kGeluRoot);
    ggml_tensor* dt = ggml_scale_bias(context, ggml_sqr(context, t), -0.5f, 0.5f);
    ggml_tensor* bend = ggml_mul(context, ggml_mul(context, x, dt), du);
    ggml_tensor* slope = ggml_add(context, bend, ggml_scale_bias(context, t, 0.5f, 0.5f));
    return ggml_mul(context, gradient, slope);
}

ggml_tensor* build_logits(const GraphScope& scope, ggml_tensor* output, ggml_tensor* hidden) {
    return multiplied(scope.context, MatrixInput(scope, hidden).times(output),
                      1.0f / scope.architecture.multipliers.logit_divisor);
}

}  // namespace plasticity
