#include "engine/decoder_pass.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <vector>

#include "engine/decoder_graph.h"

namespace plasticity {
namespace {

constexpr std::size_t kNodesPerLayer = 80;
constexpr std::size_t kNodesOutsideLayers = 64;

/// Token i of the batch, at position n_past + i, sees every cell up to its own, or the last `window` of them.
/// @param shape  {cells, tokens}
std::vector<ggml_fp16_t> causal_mask(const ggml_tensor* shape, std::int64_t n_past, std::int64_t window) {
    const std::int64_t n_cells = shape->ne[0], n_tokens = shape->ne[1];
    const ggml_fp16_t hidden = ggml_fp32_to_fp16(-INFINITY), visible = ggml_fp32_to_fp16(0.0f);
    std::vector<ggml_fp16_t> mask(static_cast<std::size_t>(n_cells * n_tokens), hidden);
    for (std::int64_t token = 0; token < n_tokens; ++token) {
        const std::int64_t seen = std::min(n_past + token + 1, window);
        std::fill_n(mask.begin() + token * n_cells + n_past + token + 1 - seen, seen, visible);
    }
    return mask;
}

/// {head_dim · n_head, tokens}
ggml_tensor* build_attention(GraphWorkspace& graph, const PassSource& source, int layer, ggml_tensor* mask,
                             const Projections& p) {
    ggml_context* context = graph.context();
    const std::int64_t n_tokens = p.query->ne[2], n_cells = source.cache.cells(n_tokens);
    source.cache.store(graph, layer, p.key, p.value);
    ggml_tensor* heads = ggml_flash_attn_ext(
        context, ggml_permute(context, p.query, 0, 2, 1, 3), source.cache.keys(context, layer, n_cells),
        source.cache.values(context, layer, n_cells), mask, attention_scale(source.weights.architecture), 0.0f, 0.0f);
    ggml_prec_set_acc(heads, GGML_PREC_F32);
    return ggml_reshape_2d(context, heads, p.query->ne[0] * p.query->ne[1], n_tokens);
}

}  // namespace

DecoderPass build_pass(GraphWorkspace& graph, const PassSource& source, std::int64_t n_tokens) {
    const Architecture& a = source.weights.architecture;
    const std::int64_t n_cells = source.cache.cells(n_tokens);
    graph.begin(source.weights.layers.size() * kNodesPerLayer + kNodesOutsideLayers);
    DecoderPass pass{.ids = graph.input(GGML_TYPE_I32, n_tokens),
                     .positions = graph.input(GGML_TYPE_I32, n_tokens),
                     .mask = graph.input(GGML_TYPE_F16, n_cells, n_tokens),
                     .window_mask = a.window.n_tokens > 0 ? graph.input(GGML_TYPE_F16, n_cells, n_tokens) : nullptr,
                     .hidden = nullptr,
                     .window = a.window.n_tokens};
    for (ggml_tensor* input : {pass.positions, pass.mask, pass.window_mask})  // filled even where no layer reads it
        if (input != nullptr) ggml_build_forward_expand(graph.graph(), input);
    const GraphScope scope{graph.context(), a, pass.positions, source.weights.rope_factors, source.exact};

    ggml_tensor* x = build_embedding(scope, source.weights.token_embedding, pass.ids);
    for (std::size_t index = 0; index < source.weights.layers.size(); ++index) {
        const LayerWeights& layer = source.weights.layers[index];
        if (layer.geometry.n_head > 0) {
            ggml_tensor* heads =
                build_attention(graph, source, static_cast<int>(index), layer.slides ? pass.window_mask : pass.mask,
                                build_projections(scope, layer, x));
            x = build_attention_output(scope, layer, heads, x).output;
        }
        x = build_feed_forward(scope, layer, x).output;
    }
    pass.hidden = graph.keep(build_rms_norm(scope, x, source.weights.output_norm));
    return pass;
}

void DecoderPass::fill_positions(std::int64_t n_past) const {
    std::vector<std::int32_t> where(static_cast<std::size_t>(positions->ne[0]));
    std::iota(where.begin(), where.end(), static_cast<std::int32_t>(n_past));
    fill<std::int32_t>(positions, where);
    fill<ggml_fp16_t>(mask, causal_mask(mask, n_past, mask->ne[0]));
    if (window_mask != nullptr) fill<ggml_fp16_t>(window_mask, causal_mask(window_mask, n_past, window));
}

LogitsPass build_logits_pass(GraphWorkspace& graph, const Architecture& architecture, ggml_tensor* output,
                             std::int64_t n_tokens) {
    graph.begin(8);
    ggml_tensor* hidden = graph.input(GGML_TYPE_F32, architecture.n_embd, n_tokens);
    const GraphScope scope{graph.context(), architecture, nullptr, nullptr};
    return {hidden, graph.keep(build_logits(scope, output, hidden))};
}

}  // namespace plasticity
