#include "engine/decoder.h"

#include <fmt/format.h>

#include <algorithm>

#include "core/error.h"
#include "core/interrupt.h"
#include "engine/decoder_memory.h"
#include "engine/decoder_pass.h"
#include "engine/device_memory.h"

namespace plasticity {
namespace {

KvCacheOptions cache_options(const DecoderOptions& options, const Offload& offload = {}) {
    return {
        .capacity = options.context_length, .type = options.exact ? GGML_TYPE_F32 : GGML_TYPE_F16, .offload = offload};
}

Offload plan_offload(const Model& model, const Backend& backend, const DecoderOptions& options, Progress& progress) {
    if (!backend.has_device()) return {};
    const Architecture& architecture = model.architecture();
    OffloadSizes sizes = weight_sizes(model, {.precision = options.precision});
    for (std::size_t layer = 0; layer < sizes.layers.size(); ++layer)
        sizes.layers[layer] += KvCache::layer_bytes(architecture, architecture.layers[layer], cache_options(options));
    sizes.working = decoder_memory(architecture, options.context_length).graphs + kernel_bytes(architecture);
    return offload_to_device(sizes, backend, options.backend, progress);
}

}  // namespace

Decoder::Decoder(const Model& model, const DecoderOptions& options, Progress& progress)
    : backend_(options.backend, options.threads),
      offload_(plan_offload(model, backend_, options, progress)),
      weights_(model, backend_, {.precision = options.precision, .offload = offload_}, progress),
      cache_(model.architecture(), backend_, cache_options(options, offload_)),
      exact_(options.exact),
      batch_(options.batch),
      hidden_graph_(backend_),
      logits_graph_(backend_) {}

void Decoder::feed(std::span<const std::int32_t> tokens, std::size_t first_wanted, const LogitsSink& sink) {
    feed_batches(tokens, first_wanted,
                 [&](std::size_t first, std::size_t n_rows) { emit_logits(first, n_rows, sink); });
}

void Decoder::feed_hidden(std::span<const std::int32_t> tokens, std::size_t first_wanted, std::vector<float>& hidden) {
    const auto width = static_cast<std::ptrdiff_t>(architecture().n_embd);
    feed_batches(tokens, first_wanted, [&](std::size_t first, std::size_t n_rows) {
        hidden.insert(hidden.end(), hidden_.begin() + static_cast<std::ptrdiff_t>(first) * width,
                      hidden_.begin() + static_cast<std::ptrdiff_t>(n_rows) * width);
    });
}

void Decoder::feed_batches(std::span<const std::int32_t> tokens, std::size_t first_wanted, const BatchSink& sink) {
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
        if (first_wanted < done + n) sink(first_wanted > done ? first_wanted - done : 0, n);
        cache_.advance(static_cast<std::int32_t>(n));
        done += n;
    }
}

void Decoder::feed_batch(std::span<const std::int32_t> tokens) {
    const DecoderPass pass = build_pass(hidden_graph_, {.weights = weights_.pass(), .cache = cache_, .exact = exact_},
                                        static_cast<std::int64_t>(tokens.size()));
    hidden_graph_.prepare();
    fill(pass.ids, tokens);
    pass.fill_positions(cache_.used());
    // From 512 cells on, ggml's fast attention of a lone token deals the cells out to the threads, and the sum rounds
    // differently with their number.
    hidden_graph_.run(tokens.size() == 1 ? Kernels::kReference : Kernels::kFast);
    hidden_.resize(tokens.size() * static_cast<std::size_t>(architecture().n_embd));
    fetch<float>(pass.hidden, hidden_);
}

void Decoder::compute_logits(std::span<const float> hidden, OutputMatrix output, std::vector<float>& logits) {
    const Architecture& a = architecture();
    const std::size_t n_rows = hidden.size() / static_cast<std::size_t>(a.n_embd);
    ggml_tensor* matrix = output == OutputMatrix::kLoaded ? weights_.loaded_output() : weights_.output();
    const LogitsPass pass = build_logits_pass(logits_graph_, a, matrix, static_cast<std::int64_t>(n_rows));
    logits_graph_.prepare();
    fill<float>(pass.hidden, hidden);
    logits_graph_.run();
    logits.resize(n_rows * static_cast<std::size_t>(a.n_vocab));
    fetch<float>(pass.logits, logits);
}

void Decoder::emit_logits(std::size_t first, std::size_t n_tokens, const LogitsSink& sink) {
    const auto n_embd = static_cast<std::size_t>(architecture().n_embd);
    const auto n_vocab = static_cast<std::size_t>(architecture().n_vocab);
    for (std::size_t row = first; row < n_tokens; row += kLogitRows) {
        const std::size_t n = std::min(kLogitRows, n_tokens - row);
        compute_logits(std::span(hidden_).subspan(row * n_embd, n * n_embd), OutputMatrix::kInUse, logits_);
        for (std::size_t i = 0; i < n; ++i)
            sink(cache_.used() + static_cast<std::int32_t>(row + i), std::span(logits_).subspan(i * n_vocab, n_vocab));
    }
}

}  // namespace plasticity
