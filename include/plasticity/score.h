#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "plasticity/backend_choice.h"

namespace plasticity {

struct GateGradients;
class Progress;

struct ScoreOptions {
    std::filesystem::path model;
    std::vector<std::filesystem::path> data;  ///< text, source trees, JSONL; folders are read recursively
    std::optional<std::filesystem::path>
        statistics;                             ///< where to save Σx² per input channel (imatrix form) and curvature
    std::optional<std::filesystem::path> gram;  ///< where to save Gram matrices; only with curvature, without resuming
    std::int64_t max_tokens = 0;                ///< stop after so many tokens; 0: all
    std::int32_t chunk = 512;                   ///< tokens an example of plain text holds
    std::string precision = "auto";             ///< f32 | f16 | bf16 | auto
    std::int32_t curvature_every = 4;           ///< draw labels for one example of so many; 0: no curvature
    std::uint64_t seed = 0;                     ///< of the labels drawn
    int threads = 0;                            ///< 0: all processors
    BackendChoice backend;                      ///< a device rounds differently than the CPU
    bool overwrite = false;
    std::optional<std::filesystem::path> checkpoint;  ///< where to keep the sums so far; for the caller to remove
    std::int32_t checkpoint_every = 16;               ///< examples between two of them
    bool resume = false;  ///< continue from the checkpoint, to the same result, if it is of the same run
};

/// SCORE: exact gradients of the task's loss with respect to a gate on every query head, through the frozen network.
/// The result does not depend on the number of threads, but on the device. Peak memory: the weights twice, at
/// `precision`.
/// @throws Error (kUsage, kMissing, kMalformed, kIo), Interrupted
GateGradients score(const ScoreOptions& options, Progress& progress);

}  // namespace plasticity
