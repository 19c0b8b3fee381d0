#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "plasticity/export.h"
#include "plasticity/fine_tune_record.h"
#include "plasticity/overwrite.h"
#include "plasticity/score_provenance.h"

namespace plasticity {

/// Of a file that covers one slice of the examples.
struct GateSlice {
    ScoreSlice part;
    /// [layer][query head]: |g| of the slice's first example. A moving average starts at it, and what it contributed
    /// must be known where the average goes on from another slice's.
    std::vector<std::vector<double>> first_gradients;
};

/// What the task says of every query head: gate_gradients.json.
///
/// For each example, L = mean cross-entropy of its target tokens and g[l][h] = ∂L/∂gate of head h in layer l, the gate
/// being a factor 1 on the head's output (Michel et al. 2019, "Are Sixteen Heads Really Better than One?").
struct GateGradients {
    static constexpr int kSchemaVersion = 1;

    std::string model_name;
    std::int32_t num_heads = 0;     ///< the largest of any layer
    std::int32_t num_kv_heads = 0;  ///< likewise
    std::int64_t num_steps = 0;     ///< examples, each as often as there were epochs
    std::int64_t num_tokens = 0;    ///< target tokens
    double mean_loss = 0;           ///< nats per token, mean over examples

    /// [layer][query head]; Σ over examples. A layer without attention has an empty row.
    std::vector<std::vector<double>> absolute_sums;    ///< Σ |g|
    std::vector<std::vector<double>> signed_sums;      ///< Σ g
    std::vector<std::vector<double>> moving_averages;  ///< EMA of |g| over examples, weight 0.1 on the newest
    std::vector<std::int32_t> layer_kv_heads;          ///< [layer]

    ScoreProvenance provenance;
    std::optional<GateSlice> slice;           ///< nothing: all examples
    std::optional<FineTuneRecord> fine_tune;  ///< nothing: the network was the same for all examples

    /// [layer][query head] in [0, 1]: Σ|g| / num_steps divided by the 99th percentile over all heads, clipped to 1.
    /// The percentile lies linearly between the two nearest ranks, as numpy's does by default.
    PLASTICITY_API std::vector<std::vector<double>> layer_scores() const;
};

/// Writes atomically; numbers are printed so that they read back to the same doubles.
/// @throws Error (kUsage, kIo)
PLASTICITY_API void save_gate_gradients(const GateGradients& gradients, const std::filesystem::path& target,
                                        Overwrite overwrite);

/// A file without schema_version is another trainer's: layer_scores, num_steps, model_name, num_heads and num_kv_heads
/// are all it holds, and the scores stand for the means.
/// @throws Error (kMissing; kMalformed: NaN, negative sums, ragged or missing arrays, unknown keys, a newer schema)
PLASTICITY_API GateGradients load_gate_gradients(const std::filesystem::path& path);

}  // namespace plasticity
