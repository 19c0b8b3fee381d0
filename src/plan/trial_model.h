#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "artifact/statistics.h"
#include "core/progress.h"
#include "engine/decoder.h"
#include "engine/evaluate.h"
#include "plan/trial_matrix.h"

namespace plasticity {

/// KL(base ‖ trial) over positions of text, nats per token.
struct Divergence {
    double mean = 0;
    double standard_error = 0;  ///< from the spread of positions, as if they were independent
};

/// @param values  one for each position; at least one
Divergence mean_divergence(const std::vector<double>& values);

struct TrialOptions {
    std::uint64_t cache_bytes = std::uint64_t{2} << 30;  ///< of replacements that are not in use
    int threads = 0;                                     ///< 0: all processors; results do not depend on it
};

/// Memory that a trial of this text takes, cache not counted: the base's weights, the final hidden states of the
/// scored positions, replacements of every matrix (8.5 bits a weight at most, or 16 where rows change their columns),
/// logits of 64 positions of both models, keys and values, and the graph of one chunk.
std::uint64_t trial_bytes(const Model& model, const EvaluationText& text, bool rows_change);

/// A model in the own engine in which single matrices are replaced by what a recipe would make of them, and how far it
/// then is from the base.
///
/// Swapping is setting a pointer: the base's matrices stay in memory. Of the base's side only the last hidden states
/// are kept, in F32; its logits are computed from them anew, 64 positions at a time, which costs the output matrix
/// once more and saves vocabulary × positions × 4 bytes. Not thread-safe.
class TrialModel {
public:
    /// Loads the base, and runs the text through it. `model` and `statistics` must outlive the trial.
    /// @throws Error (kUsage for a model that the engine does not run; kMalformed, kIo), Interrupted
    TrialModel(const Model& model, const Statistics& statistics, EvaluationText text, const TrialOptions& options,
               Progress& progress);

    /// A matrix as this form makes it; the base's own where that is what the source stores.
    void set(const ModelTensor& matrix, const MatrixForm& form);
    /// All matrices as the recipe has them. @throws Error (kMalformed, kIo), Interrupted
    void set(const Recipe& recipe);
    /// All matrices as the base has them.
    void restore();

    std::int32_t n_chunks() const { return text_.n_chunks; }
    std::int64_t positions() const { return text_.positions(); }  ///< of all chunks
    std::int64_t chunk_positions() const { return text_.positions() / text_.n_chunks; }
    /// KL(base ‖ trial) of every scored position of a chunk, nats.
    std::vector<double> divergence(std::int32_t chunk);
    /// Of the positions of several, in order.
    std::vector<double> divergence(std::int32_t first_chunk, std::int32_t end_chunk);
    std::vector<double> divergence() { return divergence(0, n_chunks()); }

private:
    struct Cached {
        TrialMatrix made;
        std::uint64_t used_at = 0;
        bool in_use = false;
    };

    const Cached& cached(const ModelTensor& matrix, const MatrixForm& form);
    void release(const ModelTensor& matrix);
    void evict();

    const Model& model_;
    const Statistics& statistics_;
    EvaluationText text_;
    TrialOptions options_;
    Backend backend_;
    Decoder decoder_;
    std::vector<float> base_hidden_;                        ///< [chunks · scored positions][n_embd]
    std::map<std::string, Cached> cache_;                   ///< by name and form
    std::map<std::string, std::string, std::less<>> keys_;  ///< of what stands in for a matrix, by its name
    std::uint64_t clock_ = 0;
};

}  // namespace plasticity
