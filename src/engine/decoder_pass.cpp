#include "engine/decoder_pass.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <vector>

#include "engine/decoder_graph.h"

namespace plasticity {
namespace {

constexpr std::size_t kNodesPerLayer = 80;
/// Two products, a factor and a sum for each of its matrices.
constexpr std::size_t kNodesPerLayerLora = 28;
/// Views, stores, attention and joining of one more sequence.
constexpr std::size_t kNodesPerSequence = 20;
constexpr std::size_t kInputsPerSequence = 3;
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

/// Tokens [first, first + n) of {head_dim, heads, tokens}; the tensor itself where that is all of them.
ggml_tensor* tokens_of(ggml_context* context, ggml_tensor* heads, std::int64_t first, std::int64_t n) {
    if (n == heads->ne[2]) return heads;
    return ggml_view_3d(context, heads, heads->ne[0], heads->ne[1], n, heads->nb[1], heads->nb[2],
                        static_cast<std::size_t>(first) * heads->nb[2]);
}

/// One behind the other along the tokens, by halves: chains would copy the first ones again and again.
ggml_tensor* joined(ggml_context* context, std::span<ggml_tensor* const> parts) {
    if (parts.size() == 1) return parts.front();
    const std::size_t half = parts.size() / 2;
    return ggml_concat(context, joined(context, parts.first(half)), joined(context, parts.subspan(half)), 2);
}

struct AttentionInputs {
    const PassCells& cells;
    ggml_tensor* mask;
    ggml_tensor *query, *key, *value;  ///< {head_dim, heads, tokens of the sequence}
};

/// {head_dim, n_head, tokens}
ggml_tensor* build_attention(GraphWorkspace& graph, const Architecture& architecture, int layer,
                             const AttentionInputs& in) {
    ggml_context* context = graph.context();
    const KvCache& cache = *in.cells.cache;
    const std::int64_t n_cells = in.mask->ne[0];
    cache.store(graph, layer, {.key = in.key, .value = in.value, .cells = in.cells.stored});
    ggml_tensor* heads =
        ggml_flash_attn_ext(context, ggml_permute(context, in.query, 0, 2, 1, 3), cache.keys(context, layer, n_cells),
                            cache.values(context, layer, n_cells), in.mask, attention_scale(architecture), 0.0f, 0.0f);
    ggml_prec_set_acc(heads, GGML_PREC_F32);
    return heads;
}

/// {head_dim · n_head, tokens}: of all sequences
ggml_tensor* build_all_attention(GraphWorkspace& graph, const PassSource& source, int layer,
                                 std::span<const PassCells> cells, const Projections& p) {
    ggml_context* context = graph.context();
    const bool slides = source.weights.layers[static_cast<std::size_t>(layer)].slides;
    std::vector<ggml_tensor*> parts;
    std::int64_t first = 0;
    for (const PassCells& own_cells : cells) {
        const std::int64_t n_tokens = own_cells.mask->ne[1];
        const auto own = [&](ggml_tensor* heads) { return tokens_of(context, heads, first, n_tokens); };
        parts.push_back(build_attention(graph, source.weights.architecture, layer,
                                        {.cells = own_cells,
                                         .mask = slides ? own_cells.window : own_cells.mask,
                                         .query = own(p.query),
                                         .key = own(p.key),
                                         .value = own(p.value)}));
        first += n_tokens;
    }
    return ggml_reshape_2d(context, joined(context, parts), p.query->ne[0] * p.query->ne[1], p.query->ne[2]);
}

std::int64_t total(std::span<const PassSequence> sequences, std::int64_t PassSequence::* count) {
    std::int64_t sum = 0;
    for (const PassSequence& sequence : sequences) sum += sequence.*count;
    return sum;
}

ggml_tensor* rows_at(ggml_context* context, ggml_tensor* rows, ggml_tensor* indices) {
    return indices != nullptr ? ggml_get_rows(context, rows, indices) : rows;
}

/// Inputs are in the graph, and so have memory, even where no layer reads them.
std::vector<PassCells> declare_cells(GraphWorkspace& graph, const PassSource& source) {
    std::vector<PassCells> cells;
    const auto input = [&](ggml_type type, std::int64_t ne0, std::int64_t ne1) {
        ggml_tensor* tensor = graph.input(type, ne0, ne1);
        ggml_build_forward_expand(graph.graph(), tensor);
        return tensor;
    };
    const bool has_window = source.weights.architecture.window.n_tokens > 0;
    for (const PassSequence& sequence : source.sequences) {
        const auto mask = [&] { return input(GGML_TYPE_F16, sequence.n_cells(), sequence.n_tokens); };
        cells.push_back({.cache = sequence.cache,
                         .stored = input(GGML_TYPE_I64, sequence.n_tokens, 1),
                         .mask = mask(),
                         .window = has_window ? mask() : nullptr,
                         .n_wanted = sequence.n_wanted});
    }
    return cells;
}

}  // namespace

DecoderPass build_pass(GraphWorkspace& graph, const PassSource& source) {
    const Architecture& a = source.weights.architecture;
    const std::int64_t n_tokens = total(source.sequences, &PassSequence::n_tokens);
    const std::int64_t n_wanted = total(source.sequences, &PassSequence::n_wanted);
    const std::size_t n_more = source.sequences.size() - 1;
    const std::size_t n_lora = source.lora.empty() ? 0 : kNodesPerLayerLora;
    graph.begin(source.weights.layers.size() * (kNodesPerLayer + n_lora + n_more * kNodesPerSequence) +
                kNodesOutsideLayers + n_more * kInputsPerSequence);
    DecoderPass pass{.ids = graph.input(GGML_TYPE_I32, n_tokens),
                     .positions = graph.input(GGML_TYPE_I32, n_tokens),
                     .cells = declare_cells(graph, source),
                     .wanted = n_wanted < n_tokens ? graph.input(GGML_TYPE_I32, n_wanted) : nullptr,
                     .hidden = nullptr,
                     .window = a.window.n_tokens};
    ggml_build_forward_expand(graph.graph(), pass.positions);
    GraphScope scope{graph.context(), a, pass.positions, source.weights.rope_factors, source.exact};

    ggml_tensor* x = build_embedding(scope, source.weights.token_embedding, pass.ids);
    for (std::size_t index = 0; index < source.weights.layers.size(); ++index) {
        const LayerWeights& layer = source.weights.layers[index];
        if (!source.lora.empty()) scope.lora = &source.lora[index];
        ggml_tensor* rows = index + 1 == source.weights.layers.size() ? pass.wanted : nullptr;
        if (layer.geometry.n_head > 0) {
            ggml_tensor* heads = build_all_attention(graph, source, static_cast<int>(index), pass.cells,
                                                     build_projections(scope, layer, x));
            x = build_attention_output(scope, layer, rows_at(scope.context, heads, rows),
                                       rows_at(scope.context, x, rows))
                    .output;
        } else {
            x = rows_at(scope.context, x, rows);
        }
        x = build_feed_forward(scope, layer, x).output;
    }
    pass.hidden = graph.keep(build_rms_norm(scope, x, source.weights.output_norm));
    return pass;
}

void DecoderPass::fill_inputs(std::span<const std::int32_t> of_tokens) const {
    std::vector<std::int32_t> where, chosen;
    for (const PassCells& own : cells) {
        const std::int64_t n_past = own.cache->used();
        std::vector<std::int64_t> stored(static_cast<std::size_t>(own.mask->ne[1]));
        std::iota(stored.begin(), stored.end(), n_past);
        for (const std::int64_t cell : stored) where.push_back(static_cast<std::int32_t>(cell));
        for (std::int64_t left = own.n_wanted; left > 0; --left)
            chosen.push_back(static_cast<std::int32_t>(where.size()) - static_cast<std::int32_t>(left));
        fill<std::int64_t>(own.stored, stored);
        fill<ggml_fp16_t>(own.mask, causal_mask(own.mask, n_past, own.mask->ne[0]));
        if (own.window != nullptr) fill<ggml_fp16_t>(own.window, causal_mask(own.window, n_past, window));
    }
    fill<std::int32_t>(positions, where);
    fill<std::int32_t>(ids, of_tokens);
    if (wanted != nullptr) fill<std::int32_t>(wanted, chosen);
}

bool DecoderPass::serves(std::span<const PassSequence> sequences) const {
    return std::ranges::equal(sequences, cells, [](const PassSequence& sequence, const PassCells& own) {
        return sequence.cache == own.cache && sequence.n_tokens == own.mask->ne[1] &&
               sequence.n_cells() == own.mask->ne[0] && sequence.n_wanted == own.n_wanted;
    });
}

LogitsPass build_logits_pass(GraphWorkspace& graph, const Architecture& architecture, ggml_tensor* output,
                             std::int64_t n_tokens) {
    graph.begin(8);
    ggml_tensor* hidden = graph.input(GGML_TYPE_F32, architecture.n_embd, n_tokens);
    const GraphScope scope{graph.context(), architecture, nullptr, nullptr};
    return {output, hidden, graph.keep(build_logits(scope, output, hidden))};
}

}  // namespace plasticity
