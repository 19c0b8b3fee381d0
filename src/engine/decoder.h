#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "core/progress.h"
#include "engine/backend.h"
#include "engine/decoder_pass.h"
#include "engine/kv_cache.h"
#include "engine/lora_weights.h"
#include "engine/repacked_weights.h"
#include "engine/weights.h"
#include "model/model.h"

namespace plasticity {

struct DecoderOptions {
    std::int32_t context_length = 4096;  ///< tokens the KV cache holds
    std::int32_t batch = 512;            ///< tokens that go through the graph at once
    WeightPrecision precision = WeightPrecision::kStored;
    /// Keys, values and GELU in F32. Otherwise they are rounded to F16 as stock llama.cpp does, whose logits then come
    /// out the same.
    bool exact = false;
    int threads = 0;             ///< 0: all processors
    std::int32_t sequences = 1;  ///< side by side, each with a KV cache of its own
    BackendChoice backend = {.device = "cpu", .gpu_layers = std::nullopt};
    /// Second copies of matrices for passes of single tokens, as this processor multiplies by those fastest. Nothing:
    /// where both take half of the machine's memory at most. Beside a device: none. Logits differ by rounding.
    std::optional<bool> repack = false;
    ggml_type kv_type = GGML_TYPE_F16;        ///< of keys and values where not exact: F16, Q8_0 or Q4_0
    std::optional<LoraAdapter> adapter = {};  ///< of this model's matrices as they are
};

/// Receives logits row by row. @param position  of the token whose successor the logits are about, in the sequence
/// @param logits  [n_vocab], valid during the call
using LogitsSink = std::function<void(std::int32_t position, std::span<const float> logits)>;

/// Tokens that one sequence gets in a step.
struct SequenceTokens {
    std::int32_t sequence = 0;
    std::span<const std::int32_t> tokens;  ///< at least one
    std::size_t first_wanted = 0;          ///< logits are wanted for tokens[first_wanted…]
};

/// Receives logits row by row. @param item   of the step's items  @param token  index in the item's tokens
using StepSink = std::function<void(std::size_t item, std::size_t token, std::span<const float> logits)>;

/// What logits are computed with: the matrix in use, or the one that was loaded, whatever stands in for it.
enum class OutputMatrix { kInUse, kLoaded };

/// Runs a model forward with a KV cache, or with several: sequences that are fed side by side. What names no sequence
/// is about the first. Geometry per layer comes from the weights. Not thread-safe.
class Decoder {
public:
    /// Loads the weights. @throws Error (kMalformed, kIo), Interrupted
    Decoder(const Model& model, const DecoderOptions& options, Progress& progress);

    /// Appends tokens to the sequence.
    /// @param first_wanted  logits are computed for tokens[first_wanted…] only (tokens.size(): for none)
    /// @throws Error (kUsage when the context is full, kMalformed for ids outside the vocabulary), Interrupted
    void feed(std::span<const std::int32_t> tokens, std::size_t first_wanted, const LogitsSink& sink);

    /// Appends tokens to several sequences in one pass: matrix products take all of them at once, attention is each
    /// sequence's own. What a sequence gets differs from what it would get alone by rounding only, since kernels for
    /// few tokens and for many sum in different orders; alone, with tokens as feed would take them, not at all.
    /// @param items  of different sequences
    /// @throws Error (kUsage when a context is full, kMalformed for ids outside the vocabulary); nothing is fed then
    void step(std::span<const SequenceTokens> items, const StepSink& sink);

    /// Appends tokens to the sequence, and to `hidden` what their logits are computed from: [n_embd] for each of
    /// tokens[first_wanted…], after the last norm. @throws as feed
    void feed_hidden(std::span<const std::int32_t> tokens, std::size_t first_wanted, std::vector<float>& hidden);

    /// Logits of rows that feed_hidden gave; memory is taken for all rows at once.
    /// @param hidden  [rows][n_embd]
    /// @param logits  resized to [rows][n_vocab]
    void compute_logits(std::span<const float> hidden, OutputMatrix output, std::vector<float>& logits);

    /// Another matrix in the place of a loaded one (Weights::replace); the next tokens pass through it. Repacked copies
    /// are given up.
    void replace(const TensorId& id, ggml_tensor* matrix);

    /// Starts a new sequence without reloading anything.
    void clear() { cache(0).clear(); }
    /// Forgets all but the first n_tokens, of position() at most.
    void rewind(std::int32_t n_tokens, std::int32_t sequence = 0) { cache(sequence).rewind(n_tokens); }
    std::int32_t position(std::int32_t sequence = 0) const { return cache(sequence).used(); }
    std::int32_t context_length() const { return cache(0).capacity(); }
    const Architecture& architecture() const { return weights_.architecture(); }
    int threads() const { return backend_.threads(); }
    const std::string& backend_label() const { return backend_.label(); }

    /// Memory in use: weights, KV cache and the largest graphs so far.
    std::size_t weight_bytes() const { return weights_.bytes() + repacked_.bytes() + lora_.bytes(); }
    std::size_t cache_bytes() const;
    std::size_t compute_bytes() const { return hidden_graph_.bytes() + logits_graph_.bytes(); }

private:
    /// Called with the index of the first wanted token of a batch; from it on hidden_ holds what the batch's gave.
    using BatchSink = std::function<void(std::size_t first)>;
    void feed_batches(std::span<const std::int32_t> tokens, std::size_t first_wanted, const BatchSink& sink);
    /// Leaves the hidden states of the items' wanted tokens in hidden_, one behind the other; none where none is.
    void run_pass(std::span<const SequenceTokens> items);
    /// Built and laid out, if the last one does not serve.
    const DecoderPass& pass_of(std::span<const PassSequence> sequences);
    const LogitsPass& logits_pass_of(ggml_tensor* output, std::int64_t n_rows);
    void require_fits(const SequenceTokens& item) const;
    /// @param rows  [n][n_embd]  @param sink  called with the number of each row
    void emit_logits(std::span<const float> rows, const std::function<void(std::size_t, std::span<const float>)>& sink);
    KvCache& cache(std::int32_t sequence) { return caches_[static_cast<std::size_t>(sequence)]; }
    const KvCache& cache(std::int32_t sequence) const { return caches_[static_cast<std::size_t>(sequence)]; }

    Backend backend_;
    Offload offload_;
    Weights weights_;
    RepackedWeights repacked_;
    LoraWeights lora_;
    std::vector<KvCache> caches_;
    bool exact_;
    std::int32_t batch_;
    GraphWorkspace hidden_graph_;
    std::optional<DecoderPass> pass_;  ///< what hidden_graph_ holds: it serves token after token
    GraphWorkspace logits_graph_;
    std::optional<LogitsPass> logits_pass_;
    std::vector<float> hidden_;  ///< [wanted tokens of the batch][n_embd], after the last norm
    std::vector<float> logits_;
};

}  // namespace plasticity
