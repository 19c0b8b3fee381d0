#include "engine/decoder.h"

#include <fmt/format.h>

#include <algorithm>
#include <numeric>

#include "core/error.h"
#include "core/interrupt.h"
#include "engine/decoder_graph.h"

namespace plasticity {
namespace {

/// Rows of logits computed at once: bounds memory for large vocabularies, and still fills the matrix product.
constexpr std::size_t kLogitRows = 64;
constexpr std::size_t kNodesPerLayer = 64;
constexpr std::size_t kNodesOutsideLayers = 64;

/// Token i of the batch, at position n_past + i, sees every cell up to its own, or the last `window` of them.
std::vector<ggml_fp16_t> causal_mask(std::int64_t n_past, std::int64_t n_tokens, std::int64_t window) {
    const std::int64_t n_cells = n_past + n_tokens;
    const ggml_fp16_t hidden = ggml_fp32_to_fp16(-INFINITY), visible = ggml_fp32_to_fp16(0.0f);
    std::vector<ggml_fp16_t> mask(static_cast<std::size_t>(n_cells * n_tokens), hidden);
    for (std::int64_t token = 0; token < n_tokens; ++token) {
        const std::int64_t seen = std::min(n_past + token + 1, window);
        std::fill_n(mask.begin() + token * n_cells + n_past + token + 1 - seen, seen, visible);
    }
    return mask;
}

}  // namespace

Decoder::Decoder(const Model& model, const DecoderOptions& options, Progress& progress)
    : backend_(options.threads),
      weights_(model, backend_, {.precision = options.precision}, progress),
      cache_(model.architecture(), backend_, options.context_length, options.exact ? GGML_TYPE_F32 : GGML_TYPE_F16),
      exact_(options.exact),
      batch_(options.batch),
      hidden_graph_(backend_),
      logits_graph_(backend_) {}

void Decoder::feed(std::span<const std::int32_t> tokens, std::size_t first_wanted, const LogitsSink& sink) {
    if (tokens.size() > static_cast<std::size_t>(cache_.capacity() - cache_.used()))
        throw Error(ErrorKind::kUsage,
                    fmt::format("decoder: {} tokens after {} exceed the context of {}; ask for a longer context",
                                tokens.size(), cache_.used(), cache_.capacity()));
    const std::int32_t n_vocab = architecture().n_vocab;
    for (const std::int32_t token : tokens)
        if (token < 0 || token >= n_vocab)
            throw Error(ErrorKind::kMalformed,
                        fmt::format("decoder: token id {}; expected 0 to {}. Is the data tokenised for this model?",
                                    token, n_vocab - 1));
    for (std::size_t done = 0; done < tokens.size();) {
        throw_if_interrupted();
        const auto n = std::min(static_cast<std::size_t>(batch_), tokens.size() - done);
        feed_batch(tokens.subspan(done, n));
        if (first_wanted < done + n) emit_logits(first_wanted > done ? first_wanted - done : 0, n, sink);
        cache_.advance(static_cast<std::int32_t>(n));
        done += n;
    }
}

void Decoder::feed_batch(std::span<const std::int32_t> tokens) {
    const Architecture& a = architecture();
    const auto n_tokens = static_cast<std::int64_t>(tokens.size());
    const std::int64_t n_past = cache_.used(), n_cells = n_past + n_tokens;

    GraphWorkspace& graph = hidden_graph_;
    graph.begin(static_cast<std::size_t>(a.n_layer()) * kNodesPerLayer + kNodesOutsideLayers);
    ggml_context* context = graph.context();
    ggml_tensor* ids = graph.input(GGML_TYPE_I32, n_tokens);
    ggml_tensor* positions = graph.input(GGML_TYPE_I32, n_tokens);
    ggml_tensor* mask = graph.input(GGML_TYPE_F16, n_cells, n_tokens);
    ggml_tensor* window_mask = a.window.n_tokens > 0 ? graph.input(GGML_TYPE_F16, n_cells, n_tokens) : nullptr;
    for (ggml_tensor* input : {positions, mask, window_mask})  // no layer may read it, yet inputs are filled below
        if (input != nullptr) ggml_build_forward_expand(graph.graph(), input);
    const GraphScope scope{context, a, positions, weights_.rope_factors(), exact_};

    ggml_tensor* x = build_embedding(scope, weights_.token_embedding(), ids);
    for (int index = 0; index < a.n_layer(); ++index) {
        const LayerWeights& layer = weights_.layer(index);
        if (layer.geometry.n_head > 0) {
            const Projections p = build_projections(scope, layer, x);
            cache_.store(graph, index, p.key, p.value);
            ggml_tensor* heads =
                ggml_flash_attn_ext(context, ggml_permute(context, p.query, 0, 2, 1, 3),
                                    cache_.keys(context, index, n_cells), cache_.values(context, index, n_cells),
                                    layer.slides ? window_mask : mask, attention_scale(a), 0.0f, 0.0f);
            ggml_prec_set_acc(heads, GGML_PREC_F32);
            heads = ggml_reshape_2d(context, heads, a.head_dim * layer.geometry.n_head, n_tokens);
            x = build_attention_output(scope, layer, heads, x).output;
        }
        x = build_feed_forward(scope, layer, x).output;
    }
    x = graph.keep(build_rms_norm(scope, x, weights_.output_norm()));

    graph.prepare();
    std::vector<std::int32_t> where(tokens.size());
    std::iota(where.begin(), where.end(), static_cast<std::int32_t>(n_past));
    fill(ids, tokens);
    fill<std::int32_t>(positions, where);
    fill<ggml_fp16_t>(mask, causal_mask(n_past, n_tokens, n_cells));
    if (window_mask != nullptr) fill<ggml_fp16_t>(window_mask, causal_mask(n_past, n_tokens, a.window.n_tokens));
    // From 512 cells on, ggml's fast attention of a lone token deals the cells out to the threads, and the sum rounds
    // differently with their number.
    graph.run(n_tokens == 1 ? Kernels::kReference : Kernels::kFast);
    hidden_.resize(tokens.size() * static_cast<std::size_t>(a.n_embd));
    fetch<float>(x, hidden_);
}

void Decoder::emit_logits(std::size_t first, std::size_t n_tokens, const LogitsSink& sink) {
    const Architecture& a = architecture();
    const auto n_embd = static_cast<std::size_t>(a.n_embd), n_vocab = static_cast<std::size_t>(a.n_vocab);
    for (std::size_t row = first; row < n_tokens; row += kLogitRows) {
        const std::size_t n = std::min(kLogitRows, n_tokens - row);
        logits_graph_.begin(8);
        ggml_tensor* hidden = logits_graph_.input(GGML_TYPE_F32, a.n_embd, static_cast<std::int64_t>(n));
        const GraphScope scope{logits_graph_.context(), a, nullptr, nullptr};
        ggml_tensor* logits = logits_graph_.keep(build_logits(scope, weights_.output(), hidden));
        logits_graph_.prepare();
        fill<float>(hidden, std::span(hidden_).subspan(row * n_embd, n * n_embd));
        logits_graph_.run();
        logits_.resize(n * n_vocab);
        fetch<float>(logits, logits_);
        for (std::size_t i = 0; i < n; ++i)
            sink(cache_.used() + static_cast<std::int32_t>(row + i), std::span(logits_).subspan(i * n_vocab, n_vocab));
    }
}

}  // namespace plasticity
