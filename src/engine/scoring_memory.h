#pragma once

#include <cstdint>
#include <optional>

#include "engine/offload.h"
#include "engine/weights.h"
#include "model/model.h"

namespace plasticity {

/// Positions whose logits exist at once: [kLossRows, n_vocab] floats.
inline constexpr std::int64_t kLossRows = 128;
/// Entries of a weight gradient that exist at once, as F32.
inline constexpr std::int64_t kGradientEntries = std::int64_t{1} << 24;

/// An upper bound of what a block's passes, forward and backward, and the vocabulary's share of them hold.
/// @param n_tokens  of one example
std::uint64_t scoring_graph_bytes(const Architecture& architecture, std::int64_t n_tokens);

struct ScoringMemoryRequest {
    WeightPrecision precision = WeightPrecision::kF16;
    BackwardMatrices backward = BackwardMatrices::kTransposed;
    std::int64_t longest_example = 512;  ///< tokens
    std::optional<std::uint64_t> limit;  ///< bytes that the process may have; nothing: as many as it likes
    std::uint64_t reserved = 0;          ///< of those, what others than the engine take
};

/// How backpropagation keeps within a limit. Figures are bytes of the CPU's memory, upper bounds.
struct ScoringMemory {
    bool streamed = false;            ///< one part of the weights is held at a time
    std::uint64_t weights = 0;        ///< held at once
    std::uint64_t working = 0;        ///< graphs and sums of one example
    std::uint64_t activations = 0;    ///< of one example in all blocks, kept for the backward pass; 0: computed again
    std::uint64_t stash = 0;          ///< activations between blocks that wait in memory; more wait in a file
    std::int64_t tokens_at_once = 0;  ///< that pass while a part is held; 0: one example
    std::uint64_t stash_per_token = 0;
};

/// All weights stay if there is room for them, and for one example; its activations are kept, too, if
/// there is room for those.
/// @throws Error (kInfeasible) with the fewest bytes that would do
ScoringMemory plan_scoring_memory(const Model& model, const Offload& offload, const ScoringMemoryRequest& request);

}  // namespace plasticity
