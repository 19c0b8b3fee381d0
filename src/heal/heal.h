#pragma once

#include <cstdint>
#include <filesystem>
#include <vector>

#include "core/progress.h"
#include "io/atomic_file.h"
#include "plasticity/backend_choice.h"

namespace plasticity {

struct HealOptions {
    std::filesystem::path model;  ///< GGUF
    std::filesystem::path base;   ///< what it was compressed from
    std::vector<std::filesystem::path> data;
    std::filesystem::path output;
    std::int64_t tokens = 16384;     ///< of the data, whole examples until so many are reached; 0: all
    std::int32_t chunk = 512;        ///< tokens of an example of plain text
    double learning_rate = 0;        ///< 0: by how far the model lies from its base (default_healing_rate)
    std::int32_t holdout_every = 8;  ///< one example of so many is not trained on, and decides; at least 2
    Overwrite overwrite = Overwrite::kRefuse;
    int threads = 0;
    BackendChoice backend = {.device = "cpu", .gpu_layers = std::nullopt};
};

struct HealResult {
    std::int64_t n_steps = 0;
    std::int64_t n_held_out = 0;  ///< examples
    std::int64_t n_tokens = 0;    ///< of both
    std::int64_t n_values = 0;    ///< that were trained
    double learning_rate = 0;
    double held_out_before = 0;  ///< mean KL(base ‖ model) of held-out examples, nats a token
    double held_out_after = 0;
    double seconds = 0;

    bool is_better() const { return held_out_after < held_out_before; }
};

/// Changes of weights that undo rounding are the smaller the less was lost: in proportion to √KL. 0.001 for 0.5 nats.
/// @param divergence  of the model before, nats
double default_healing_rate(double divergence);

/// Trains a compressed model's norms, biases and the factors on its matrices' rows towards what its base predicts, by
/// AdamW, one example a step, and writes the file anew with them: the same tensors, types, header and size, for a row's
/// factor goes into the scales that its blocks have. Codes stay. Nothing is written where the held-out examples'
/// divergence does not fall (HealResult::is_better).
/// Source: Chen et al. 2024, "EfficientQAT" (training what a format leaves free, end to end).
/// @throws Error (kMissing, kMalformed, kIo; kUsage where options or vocabularies do not fit), Interrupted
HealResult heal(const HealOptions& options, Progress& progress);

}  // namespace plasticity
