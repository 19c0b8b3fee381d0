#include "engine/layer_backward.h"

#include "engine/leaf.h"
#include "engine/transpose.h"

namespace plasticity {
namespace {

/// {head_dim, heads, tokens} ↔ {head_dim, tokens, heads}
ggml_tensor* swap_heads_and_tokens(ggml_context* context, ggml_tensor* x) {
    return ggml_permute(context, x, 0, 2, 1, 3);
}

/// A norm of the block: its weight, and what it norms.
struct Norm {
    TensorRole role;
    ggml_tensor* weight;
    ggml_tensor* x;
};

/// ∂L/∂x of RMSNorm(x) · weight. `normed_gradient` is ∂L/∂ of the product.
ggml_tensor* rms_norm_back(const GraphScope& scope, ggml_tensor* normed_gradient, const Norm& norm) {
    if (scope.vectors != nullptr)
        scope.vectors->push_back({norm.role, false, norm_weight_back(scope, normed_gradient, norm.weight, norm.x)});
    ggml_tensor* scaled = ggml_mul(scope.context, normed_gradient, norm.weight);
    return ggml_rms_norm_back(scope.context, scaled, norm.x, scope.architecture.rms_norm_epsilon);
}

/// @param gradient  of what a projection gives, {rows, tokens}  @param bias  nullptr: it has none
void bias_back(const GraphScope& scope, TensorRole role, ggml_tensor* gradient, ggml_tensor* bias) {
    if (scope.vectors != nullptr && bias != nullptr)
        scope.vectors->push_back({role, true, ggml_repeat_back(scope.context, gradient, bias)});
}

/// ∂L/∂ of the factors on a matrix' rows: Σ over tokens of gradient · (y − bias) ÷ factor.
/// @param gradient  of what the matrix gives  @param y  that, bias included, {rows, tokens}
void row_scale_back(const GraphScope& scope, TensorRole role, ggml_tensor* gradient, ggml_tensor* y,
                    ggml_tensor* bias = nullptr) {
    ggml_tensor* scales = scope.row_scales != nullptr ? scope.row_scales->of(role) : nullptr;
    if (scales == nullptr || scope.vectors == nullptr) return;
    ggml_context* context = scope.context;
    ggml_tensor* product = ggml_reshape_2d(context, y, gradient->ne[0], gradient->ne[1]);
    if (bias != nullptr) product = ggml_sub(context, product, bias);
    ggml_tensor* sum = ggml_repeat_back(context, ggml_mul(context, gradient, product), scales);
    scope.vectors->push_back({role, false, ggml_div(context, sum, scales)});
}

/// From the gradient of a block's output to that of what a projection gave, through multiplier and norm.
ggml_tensor* addition_back(const GraphScope& scope, ggml_tensor* gradient, const Norm& post_norm) {
    const float multiplier = scope.architecture.multipliers.residual;
    if (multiplier != 1.0f) gradient = ggml_scale(scope.context, gradient, multiplier);
    return post_norm.weight != nullptr ? rms_norm_back(scope, gradient, post_norm) : gradient;
}

/// From the gradient of what a matrix and its adapter write to that of what they read.
class ProjectionBack {
public:
    ProjectionBack(const GraphScope& scope, const BackwardLayer& matrices, LayerLoraBack& gradients)
        : scope_(scope), matrices_(matrices), gradients_(gradients) {}

    const GraphScope& scope() const { return scope_; }
    const BackwardLayer& matrices() const { return matrices_; }

    ggml_tensor* input(TensorRole role, ggml_tensor* matrix, ggml_tensor* x, ggml_tensor* gradient) {
        ggml_tensor* product_gradient = gradient;
        if (scope_.row_scales != nullptr && scope_.row_scales->of(role) != nullptr)
            product_gradient = ggml_mul(scope_.context, gradient, scope_.row_scales->of(role));
        ggml_tensor* through = build_product_back(scope_, matrix, product_gradient);
        if (scope_.lora == nullptr || scope_.lora->of(role).a == nullptr) return through;
        const LoraBack back = build_lora_back(scope_.context, scope_.lora->of(role), x, gradient, scope_.on_cpu);
        gradients_.of(role) = back;
        return ggml_add(scope_.context, through, back.input);
    }

private:
    const GraphScope& scope_;
    const BackwardLayer& matrices_;
    LayerLoraBack& gradients_;
};

struct GatedGradients {
    ggml_tensor *gate, *up;
};

GatedGradients activation_back(const GraphScope& scope, const FeedForward& f, ggml_tensor* activated) {
    ggml_context* context = scope.context;
    ggml_tensor* through_up = ggml_mul(context, activated, f.up);
    if (scope.architecture.features.activation == Activation::kGelu)
        return {build_gelu_back(context, through_up, f.gate),
                ggml_mul(context, activated, build_exact_gelu(context, f.gate))};
    return {ggml_silu_back(context, through_up, f.gate), ggml_mul(context, activated, ggml_silu(context, f.gate))};
}

struct FeedForwardGradients {
    ggml_tensor *gate, *up;  ///< {n_ff, tokens}
    ggml_tensor* down;       ///< {n_embd, tokens}: of what down gives
    ggml_tensor* input;      ///< {n_embd, tokens}
};

FeedForwardGradients feed_forward_back(ProjectionBack& back, const LayerWeights& layer, const LayerForward& forward,
                                       ggml_tensor* gradient) {
    using R = TensorRole;
    const GraphScope& scope = back.scope();
    const BackwardLayer& matrices = back.matrices();
    ggml_context* context = scope.context;
    const FeedForward& f = forward.feed_forward;
    ggml_tensor* projected =
        addition_back(scope, gradient, {R::kFeedForwardPostNorm, layer.feed_forward_post_norm, f.projected});
    row_scale_back(scope, R::kDown, projected, f.projected);
    const auto [gate, up] = activation_back(scope, f, back.input(R::kDown, matrices.down, f.activated, projected));
    row_scale_back(scope, R::kGate, gate, f.gate);
    row_scale_back(scope, R::kUp, up, f.up);
    ggml_tensor* normed = ggml_add(context, back.input(R::kGate, matrices.gate, f.normed, gate),
                                   back.input(R::kUp, matrices.up, f.normed, up));
    ggml_tensor* input = rms_norm_back(scope, normed, {R::kFeedForwardNorm, layer.feed_forward_norm, forward.attended});
    return {.gate = gate, .up = up, .down = projected, .input = ggml_add(context, input, gradient)};
}

/// Visits what a block's backward pass reads of its forward pass; `visit` may replace it.
template <typename Visit>
void for_each_read(const GraphScope& scope, const LayerWeights& layer, LayerForward& forward, const Visit& visit) {
    const bool reads_products = scope.row_scales != nullptr;
    if (forward.heads != nullptr) {
        Projections& p = forward.projections;
        for (ggml_tensor** read :
             {&p.normed, &forward.queries, &p.key, &p.value, &forward.probabilities, &forward.heads, &forward.attended})
            visit(*read);
        if (layer.query_norm != nullptr || reads_products) visit(p.raw_query);
        if (layer.key_norm != nullptr || reads_products) visit(p.raw_key);
        if (layer.attention_post_norm != nullptr || reads_products) visit(forward.projected);
    }
    FeedForward& f = forward.feed_forward;
    for (ggml_tensor** read : {&f.normed, &f.gate, &f.up, &f.activated}) visit(*read);
    if (layer.feed_forward_post_norm != nullptr || reads_products) visit(f.projected);
}

struct AttentionGradients {
    ggml_tensor *query, *key, *value;  ///< {head_dim, heads, tokens}, before norm and RoPE
};

/// The query heads of a KV group are laid behind one another along the tokens, {·, tokens · group, n_head_kv}, so that
/// one product per KV group both contracts over queries and sums over the group's heads.
AttentionGradients attention_back(const GraphScope& scope, const LayerWeights& layer, const LayerForward& forward,
                                  ggml_tensor* heads_gradient) {
    ggml_context* context = scope.context;
    const std::int64_t head_dim = scope.architecture.head_dim, n_tokens = forward.input->ne[1];
    const std::int64_t n_kv = forward.keys->ne[2], folded = n_tokens * (forward.probabilities->ne[2] / n_kv);
    const auto fold_transposed = [&](ggml_tensor* x) {  // {a, tokens, n_head} → {tokens · group, a, n_head_kv}
        return contiguous_transpose(context, ggml_reshape_3d(context, x, x->ne[0], folded, n_kv), scope.on_cpu);
    };
    const auto before_rope = [&](ggml_tensor* x, const Norm& norm) {
        ggml_tensor* turned = build_rope_back(scope, layer, ggml_cont(context, swap_heads_and_tokens(context, x)));
        return norm.weight != nullptr ? rms_norm_back(scope, turned, norm) : turned;
    };

    ggml_tensor* heads = ggml_reshape_3d(context, heads_gradient, head_dim, heads_gradient->ne[0] / head_dim, n_tokens);
    heads = ggml_cont(context, swap_heads_and_tokens(context, heads));

    ggml_tensor* probabilities = ggml_mul_mat(context, forward.values, heads);
    ggml_tensor* scores = ggml_soft_max_ext_back(context, probabilities, forward.probabilities,
                                                 attention_scale(scope.architecture), 0.0f);

    ggml_tensor* folded_scores = fold_transposed(scores);
    AttentionGradients g{};
    g.query = before_rope(ggml_mul_mat(context, contiguous_transpose(context, forward.keys, scope.on_cpu), scores),
                          {TensorRole::kQueryNorm, layer.query_norm, forward.projections.raw_query});
    g.key = before_rope(ggml_mul_mat(context, fold_transposed(forward.queries), folded_scores),
                        {TensorRole::kKeyNorm, layer.key_norm, forward.projections.raw_key});
    ggml_tensor* value = ggml_mul_mat(context, fold_transposed(heads), fold_transposed(forward.probabilities));
    g.value = ggml_cont(context, swap_heads_and_tokens(context, value));
    return g;
}

}  // namespace

ggml_tensor* norm_weight_back(const GraphScope& scope, ggml_tensor* normed_gradient, ggml_tensor* weight,
                              ggml_tensor* x) {
    ggml_tensor* normed = ggml_rms_norm(scope.context, x, scope.architecture.rms_norm_epsilon);
    return ggml_repeat_back(scope.context, ggml_mul(scope.context, normed_gradient, normed), weight);
}

LayerForward build_layer_forward(const GraphScope& scope, const LayerWeights& layer, ggml_tensor* x, ggml_tensor* mask,
                                 ggml_tensor* gates) {
    ggml_context* context = scope.context;
    LayerForward f{};
    f.input = x;
    f.attended = x;
    if (layer.geometry.n_head > 0) {
        const std::int64_t head_dim = scope.architecture.head_dim, n_tokens = x->ne[1];
        f.projections = build_projections(scope, layer, x);
        f.keys = swap_heads_and_tokens(context, f.projections.key);
        f.values = swap_heads_and_tokens(context, f.projections.value);
        f.queries = ggml_cont(context, swap_heads_and_tokens(context, f.projections.query));  // else no fast kernel
        ggml_tensor* scores = ggml_mul_mat(context, f.keys, f.queries);
        f.probabilities = ggml_soft_max_ext(context, scores, mask, attention_scale(scope.architecture), 0.0f);
        ggml_tensor* heads =
            ggml_mul_mat(context, contiguous_transpose(context, f.values, scope.on_cpu), f.probabilities);
        heads = ggml_cont(context, swap_heads_and_tokens(context, heads));
        f.heads = ggml_reshape_2d(context, heads, head_dim * layer.geometry.n_head, n_tokens);
        ggml_tensor* gated = f.heads;
        if (gates != nullptr)
            gated = ggml_reshape_2d(context, ggml_mul(context, heads, gates), f.heads->ne[0], n_tokens);
        const Addition addition = build_attention_output(scope, layer, gated, x);
        f.projected = addition.projected;
        f.attended = addition.output;
    }
    f.feed_forward = build_feed_forward(scope, layer, f.attended);
    return f;
}

void keep_for_backward(GraphWorkspace& graph, const GraphScope& scope, const LayerWeights& layer,
                       LayerForward& forward) {
    for_each_read(scope, layer, forward, [&](ggml_tensor* read) { graph.keep(read); });
}

LayerForward kept_forward(const GraphScope& scope, const LayerWeights& layer, const LayerForward& forward,
                          ggml_tensor* x) {
    ggml_context* context = scope.context;
    LayerForward kept = forward;
    kept.input = x;
    for_each_read(scope, layer, kept, [&](ggml_tensor*& read) { read = leaf_of(context, read); });
    if (kept.heads == nullptr) {
        kept.attended = x;
        return kept;
    }
    kept.keys = swap_heads_and_tokens(context, kept.projections.key);
    kept.values = swap_heads_and_tokens(context, kept.projections.value);
    return kept;
}

std::uint64_t kept_forward_bytes(const Architecture& architecture, const LayerGeometry& layer, std::int64_t n_tokens) {
    const std::int64_t heads = std::int64_t{architecture.head_dim} * (3 * layer.n_head + 3 * layer.n_head_kv);
    const std::int64_t per_token =
        layer.n_head * n_tokens + heads + 3 * std::int64_t{layer.n_ff} + 5 * std::int64_t{architecture.n_embd};
    return sizeof(float) * static_cast<std::uint64_t>(per_token * n_tokens);
}

LayerGradients build_layer_backward(const GraphScope& scope, const LayerWeights& layer, const BackwardLayer& backward,
                                    const LayerForward& forward, ggml_tensor* gradient) {
    ggml_context* context = scope.context;
    using R = TensorRole;
    LayerGradients result{};
    ProjectionBack back(scope, backward, result.lora);
    const FeedForwardGradients f = feed_forward_back(back, layer, forward, gradient);
    result.gate = f.gate;
    result.up = f.up;
    result.down = f.down;
    result.input = f.input;
    if (layer.geometry.n_head == 0) return result;

    result.attention_output =
        addition_back(scope, f.input, {R::kAttentionPostNorm, layer.attention_post_norm, forward.projected});
    bias_back(scope, R::kAttentionOutput, result.attention_output, layer.attention_output_bias);
    row_scale_back(scope, R::kAttentionOutput, result.attention_output, forward.projected, layer.attention_output_bias);
    result.heads = back.input(R::kAttentionOutput, backward.attention_output, forward.heads, result.attention_output);
    const AttentionGradients g = attention_back(scope, layer, forward, result.heads);
    const auto flat = [&](ggml_tensor* x) { return ggml_reshape_2d(context, x, x->ne[0] * x->ne[1], x->ne[2]); };
    result.query = flat(g.query);
    result.key = flat(g.key);
    result.value = flat(g.value);
    bias_back(scope, R::kQuery, result.query, layer.query_bias);
    bias_back(scope, R::kKey, result.key, layer.key_bias);
    bias_back(scope, R::kValue, result.value, layer.value_bias);
    const Projections& p = forward.projections;
    row_scale_back(scope, R::kQuery, result.query, p.raw_query, layer.query_bias);
    row_scale_back(scope, R::kKey, result.key, p.raw_key, layer.key_bias);
    row_scale_back(scope, R::kValue, result.value, p.value, layer.value_bias);
    ggml_tensor* read = forward.projections.normed;
    ggml_tensor* normed = ggml_add(context, back.input(R::kQuery, backward.query, read, result.query),
                                   back.input(R::kKey, backward.key, read, result.key));
    normed = ggml_add(context, normed, back.input(R::kValue, backward.value, read, result.value));
    ggml_tensor* input = rms_norm_back(scope, normed, {R::kAttentionNorm, layer.attention_norm, forward.input});
    result.input = ggml_add(context, input, f.input);
    return result;
}

}  // namespace plasticity
