#include "engine/decoder.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "core/error.h"
#include "core/interrupt.h"
#include "core/memory.h"
#include "engine/decoder_memory.h"
#include "engine/device_memory.h"

namespace plasticity {
namespace {

KvCacheOptions cache_options(const DecoderOptions& options, const Offload& offload = {}) {
    return {.capacity = options.context_length,
            .type = options.exact ? GGML_TYPE_F32 : options.kv_type,
            .offload = offload};
}

Offload plan_offload(const Model& model, const Backend& backend, const DecoderOptions& options, Progress& progress) {
    if (!backend.has_device()) return {};
    const Architecture& architecture = model.architecture();
    const auto n_caches = static_cast<std::uint64_t>(options.sequences);
    OffloadSizes sizes = weight_sizes(model, {.precision = options.precision});
    for (std::size_t layer = 0; layer < sizes.layers.size(); ++layer)
        sizes.layers[layer] +=
            n_caches * KvCache::layer_bytes(architecture, architecture.layers[layer], cache_options(options));
    sizes.working = decoder_memory(architecture, options.context_length).graphs + kernel_bytes(architecture);
    return offload_to_device(sizes, backend, options.backend, progress);
}

/// From so many cells on, ggml's fast attention of a lone token deals them out to the threads, and the sum rounds
/// differently with their number.
constexpr std::int64_t kCellsDealtOut = 512;

bool are_lone_tokens(std::span<const PassSequence> sequences) {
    return std::ranges::all_of(sequences, [](const PassSequence& sequence) { return sequence.n_tokens == 1; });
}

Kernels kernels_for(std::span<const PassSequence> sequences) {
    const bool dealt_out = std::ranges::any_of(
        sequences, [](const PassSequence& sequence) { return sequence.n_cells() >= kCellsDealtOut; });
    return are_lone_tokens(sequences) && dealt_out ? Kernels::kReference : Kernels::kFast;
}

/// Where nobody says, of the whole memory, not of what is free now: the same run rounds the same again.
bool wants_copies(const DecoderOptions& options, const Backend& backend, const Weights& weights) {
    if (backend.has_device()) return false;
    return options.repack.value_or(2 * weights.bytes() <= machine_memory_bytes().value_or(0) / 2);
}

}  // namespace

Decoder::Decoder(const Model& model, const DecoderOptions& options, Progress& progress)
    : backend_(options.backend, options.threads),
      offload_(plan_offload(model, backend_, options, progress)),
      weights_(model, backend_, {.precision = options.precision, .offload = offload_}, progress),
      repacked_(wants_copies(options, backend_, weights_) ? RepackedWeights(weights_, backend_, progress)
                                                          : RepackedWeights()),
      lora_(options.adapter ? LoraWeights(*options.adapter, model.architecture().n_layer(), backend_, offload_)
                            : LoraWeights()),
      exact_(options.exact),
      batch_(options.batch),
      hidden_graph_(backend_),
      logits_graph_(backend_) {
    for (std::int32_t i = 0; i < options.sequences; ++i)
        caches_.emplace_back(model.architecture(), backend_, cache_options(options, offload_));
}

std::size_t Decoder::cache_bytes() const {
    std::size_t bytes = 0;
    for (const KvCache& cache : caches_) bytes += cache.bytes();
    return bytes;
}

void Decoder::feed(std::span<const std::int32_t> tokens, std::size_t first_wanted, const LogitsSink& sink) {
    feed_batches(tokens, first_wanted, [&](std::size_t first) {
        const std::int32_t position = cache(0).used() + static_cast<std::int32_t>(first);
        emit_logits(hidden_, [&](std::size_t row, std::span<const float> logits) {
            sink(position + static_cast<std::int32_t>(row), logits);
        });
    });
}

void Decoder::feed_hidden(std::span<const std::int32_t> tokens, std::size_t first_wanted, std::vector<float>& hidden) {
    feed_batches(tokens, first_wanted,
                 [&](std::size_t) { hidden.insert(hidden.end(), hidden_.begin(), hidden_.end()); });
}

void Decoder::require_fits(const SequenceTokens& item) const {
    const KvCache& own = cache(item.sequence);
    if (item.tokens.size() > static_cast<std::size_t>(own.capacity() - own.used()))
        throw Error(ErrorKind::kUsage,
                    fmt::format("decoder: {} tokens after {} exceed the context of {}; ask for a longer context",
                                item.tokens.size(), own.used(), own.capacity()));
    const std::int32_t n_vocab = architecture().n_vocab;
    for (const std::int32_t token : item.tokens)
        if (token < 0 || token >= n_vocab)
            throw Error(ErrorKind::kMalformed,
                        fmt::format("decoder: token id {}; expected 0 to {}. Is the data tokenised for this model?",
                                    token, n_vocab - 1));
}

void Decoder::feed_batches(std::span<const std::int32_t> tokens, std::size_t first_wanted, const BatchSink& sink) {
    require_fits({.tokens = tokens});
    for (std::size_t done = 0; done < tokens.size();) {
        throw_if_interrupted();
        const auto n = std::min(static_cast<std::size_t>(batch_), tokens.size() - done);
        const std::size_t first = std::clamp(first_wanted, done, done + n) - done;
        const SequenceTokens item{.tokens = tokens.subspan(done, n), .first_wanted = first};
        run_pass(std::span(&item, 1));
        if (first < n) sink(first);
        cache(0).advance(static_cast<std::int32_t>(n));
        done += n;
    }
}

void Decoder::replace(const TensorId& id, ggml_tensor* matrix) {
    weights_.replace(id, matrix);
    repacked_ = {};
    pass_.reset();
    logits_pass_.reset();
}

const DecoderPass& Decoder::pass_of(std::span<const PassSequence> sequences) {
    if (pass_ && pass_->serves(sequences)) return *pass_;
    pass_.reset();  // while it is rebuilt
    PassWeights weights = weights_.pass();
    if (!repacked_.layers().empty() && are_lone_tokens(sequences)) weights.layers = repacked_.layers();
    DecoderPass pass = build_pass(
        hidden_graph_, {.weights = weights, .sequences = sequences, .exact = exact_, .lora = lora_.layers()});
    hidden_graph_.prepare();
    return pass_.emplace(std::move(pass));
}

const LogitsPass& Decoder::logits_pass_of(ggml_tensor* output, std::int64_t n_rows) {
    if (logits_pass_ && logits_pass_->output == output && logits_pass_->hidden->ne[1] == n_rows) return *logits_pass_;
    logits_pass_.reset();  // while it is rebuilt
    const LogitsPass pass = build_logits_pass(logits_graph_, architecture(), output, n_rows);
    logits_graph_.prepare();
    return logits_pass_.emplace(pass);
}

void Decoder::run_pass(std::span<const SequenceTokens> items) {
    std::vector<PassSequence> sequences;
    std::vector<std::int32_t> ids;
    for (const SequenceTokens& item : items) {
        const std::size_t n_tokens = item.tokens.size(), n_wanted = n_tokens - std::min(item.first_wanted, n_tokens);
        sequences.push_back({.cache = &cache(item.sequence),
                             .n_tokens = static_cast<std::int64_t>(n_tokens),
                             .n_wanted = static_cast<std::int64_t>(n_wanted)});
        ids.insert(ids.end(), item.tokens.begin(), item.tokens.end());
    }
    const bool none_wanted = std::ranges::all_of(sequences, [](const PassSequence& s) { return s.n_wanted == 0; });
    if (none_wanted) sequences.back().n_wanted = 1;  // a pass of none cannot be built
    const DecoderPass& pass = pass_of(sequences);
    pass.fill_inputs(ids);
    hidden_graph_.run(kernels_for(sequences));
    hidden_.resize(none_wanted ? 0 : static_cast<std::size_t>(ggml_nelements(pass.hidden)));
    if (!none_wanted) fetch<float>(pass.hidden, hidden_);
}

void Decoder::step(std::span<const SequenceTokens> items, const StepSink& sink) {
    for (const SequenceTokens& item : items) require_fits(item);
    run_pass(items);
    std::vector<std::pair<std::size_t, std::size_t>> places;  // item and token of each row
    for (std::size_t i = 0; i < items.size(); ++i) {
        const std::size_t n_tokens = items[i].tokens.size();
        for (std::size_t token = std::min(items[i].first_wanted, n_tokens); token < n_tokens; ++token)
            places.emplace_back(i, token);
        cache(items[i].sequence).advance(static_cast<std::int32_t>(n_tokens));
    }
    emit_logits(hidden_, [&](std::size_t row, std::span<const float> logits) {
        sink(places[row].first, places[row].second, logits);
    });
}

void Decoder::compute_logits(std::span<const float> hidden, OutputMatrix output, std::vector<float>& logits) {
    const Architecture& a = architecture();
    const std::size_t n_rows = hidden.size() / static_cast<std::size_t>(a.n_embd);
    ggml_tensor* matrix = output == OutputMatrix::kLoaded ? weights_.loaded_output() : weights_.output();
    const LogitsPass& pass = logits_pass_of(matrix, static_cast<std::int64_t>(n_rows));
    fill<float>(pass.hidden, hidden);
    logits_graph_.run();
    logits.resize(n_rows * static_cast<std::size_t>(a.n_vocab));
    fetch<float>(pass.logits, logits);
}

void Decoder::emit_logits(std::span<const float> rows,
                          const std::function<void(std::size_t, std::span<const float>)>& sink) {
    const auto n_embd = static_cast<std::size_t>(architecture().n_embd);
    const auto n_vocab = static_cast<std::size_t>(architecture().n_vocab);
    const std::size_t n_rows = rows.size() / n_embd;
    for (std::size_t row = 0; row < n_rows; row += kLogitRows) {
        const std::size_t n = std::min(kLogitRows, n_rows - row);
        compute_logits(rows.subspan(row * n_embd, n * n_embd), OutputMatrix::kInUse, logits_);
        for (std::size_t i = 0; i < n; ++i) sink(row + i, std::span(logits_).subspan(i * n_vocab, n_vocab));
    }
}

}  // namespace plasticity
