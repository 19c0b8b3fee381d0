#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "plasticity/backend_choice.h"
#include "plasticity/export.h"

namespace plasticity {

struct GateGradients;
class Progress;
class Ranks;

/// LoRA fine-tuning while gradients are captured; docs/pipeline.md has the exact rules.
struct FineTuneOptions {
    std::int32_t epochs = 1;          ///< 0: nothing is trained, the adapter is as it starts
    std::int32_t rank = 8;            ///< with `alpha` and `targets` of a new adapter; one that is given has its own
    double alpha = 16;                ///< what the adapter adds is multiplied by alpha / rank
    std::string targets = "q,k,v,o";  ///< of q, k, v, o, gate, up, down
    double learning_rate = 1e-4;
    double warmup = 0.1;              ///< share of steps, 0 to 1
    double weight_decay = 0;          ///< decoupled
    double dropout = 0;               ///< 0 to below 1
    std::int32_t batch = 4;           ///< examples of a step
    std::int32_t holdout_every = 10;  ///< one example of so many is held out; 0: none
    bool shuffle = false;
};

/// Tokens that Gram matrices are of, where nothing else is asked for.
inline constexpr std::int64_t kDefaultGramTokens = 16384;

struct ScoreOptions {
    std::filesystem::path model;
    std::vector<std::filesystem::path> data;  ///< text, source trees, JSONL; folders are read recursively
    std::optional<std::filesystem::path>
        statistics;                                ///< where to save Σx² per input channel (imatrix form) and curvature
    std::optional<std::filesystem::path> gram;     ///< where to save Gram matrices
    std::string slice;                             ///< "i/n": the i-th of n parts of the examples; empty: all
    std::optional<FineTuneOptions> fine_tune;      ///< nothing: no training
    std::optional<std::filesystem::path> adapter;  ///< PEFT folder to start from, or to score with
    std::optional<std::filesystem::path> save_adapter;  ///< PEFT folder to write
    std::int64_t max_tokens = 0;                        ///< stop after so many tokens; 0: all
    std::int64_t gram_tokens = kDefaultGramTokens;      ///< of the data, that Gram matrices are of; 0: all
    std::int32_t chunk = 512;                           ///< tokens an example of plain text holds
    std::string precision = "auto";                     ///< f32 | f16 | bf16 | auto: bf16 or f16, as the CPUs are
    std::int32_t curvature_every = 4;                   ///< draw labels for one example of so many; 0: no curvature
    std::uint64_t seed = 0;                             ///< of the labels drawn
    int threads = 0;                                    ///< 0: all processors
    BackendChoice backend;                              ///< a device rounds differently than the CPU
    std::uint64_t memory_bytes = 0;                     ///< that the process may take; 0: what the machine has free
    std::filesystem::path spill_folder = ".";           ///< for activations that there is no memory for
    bool overwrite = false;
    std::optional<std::filesystem::path> checkpoint;  ///< where to keep the sums so far; for the caller to remove
    std::int32_t checkpoint_every = 16;               ///< examples between two of them
    bool resume = false;     ///< continue from the checkpoint, to the same result, if it is of the same run
    Ranks* ranks = nullptr;  ///< that share the examples out; nullptr: this process alone. The first writes the files
};

/// SCORE: exact gradients of the task's loss with respect to a gate on every query head, through the frozen network and
/// the LoRA adapter, if there is one. The result does not depend on the number of threads nor on the memory
/// (Gram matrices but for rounding), but on the device. Peak memory: the weights at `precision`, twice unless
/// the CPU has instructions for BF16, where there is room for them; otherwise they pass through a layer at a time.
/// @throws Error (kUsage, kMissing, kMalformed, kIo; kInfeasible where memory_bytes are too few), Interrupted
PLASTICITY_API GateGradients score(const ScoreOptions& options, Progress& progress);

}  // namespace plasticity
