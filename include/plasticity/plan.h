#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "plasticity/export.h"
#include "plasticity/gram_memory.h"
#include "plasticity/overwrite.h"

namespace plasticity {

struct Recipe;
class Progress;

/// How much to prune. kAuto: what the policy says; kOff: nothing; the others: as much as `amount` says.
struct PruneRequest {
    enum class Kind { kAuto, kOff, kKvGroups, kHeads };
    Kind kind = Kind::kAuto;
    double amount = 0;  ///< kKvGroups: KV groups removed in every layer; kHeads: share of all query heads, [0, 1)
    double channel_share = 0;  ///< of all feed-forward channels, [0, 1); not with kAuto, needs statistics
};

/// "auto" | "off" | "kv-groups=N" | "heads=F" | "ffn=F", or one of the second two and the last with a comma between.
/// @throws Error (kUsage)
PLASTICITY_API PruneRequest parse_prune(std::string_view text);

/// "REGEX=TYPE", an entry of PlanOptions::tensor_types. @throws Error (kUsage)
PLASTICITY_API std::pair<std::string, std::string> parse_tensor_type(std::string_view text);

/// Trials of plans in memory, on calibration text. They take the model's weights twice.
struct TrialRequest {
    std::vector<std::filesystem::path> data;  ///< plain text
    std::int64_t tokens = 0;                  ///< of it; 0: 1024, with refinement 4096
    bool calibrate = false;                   ///< predict divergence from plans that were measured
    double refine_minutes = 0;                ///< improve the plan by measured gains for so long; 0: not by time
    std::int64_t refine_trials = 0;           ///< at most so many trials, and the same recipe again; 0: by time
    std::optional<std::filesystem::path> checkpoint;  ///< of a refinement; for the caller to remove
    bool resume = false;                              ///< continue from the checkpoint, if it is of the same run

    bool refines() const { return refine_minutes > 0 || refine_trials > 0; }
    bool any() const { return calibrate || refines(); }
};

struct PlanOptions {
    std::filesystem::path model;
    std::filesystem::path scores;
    std::optional<std::filesystem::path> statistics;
    /// Gram matrices that compress will have: policy optimal then measures types with error feedback. Takes about as
    /// long as compress with them.
    std::optional<std::filesystem::path> gram;
    std::uint64_t gram_memory_bytes = kDefaultGramMemory;  ///< as compress will have it
    std::optional<std::filesystem::path> damages;          ///< where measured damages are kept, for the next plan
    std::optional<std::string> device;                     ///< exactly one of device, target_bytes and target_bpw
    std::optional<std::uint64_t> target_bytes;             ///< of the whole file
    std::optional<double> target_bits_per_weight;          ///< file bits divided by the output's parameters
    std::int32_t context_length = 0;                       ///< 0: 4096, or the model's own where shorter
    std::string kv_type = "f16";
    std::string policy = "auto";  ///< optimal | tiers | auto: optimal where statistics hold curvature
    PruneRequest prune;
    std::string floor_type = "q3_K_S";                              ///< no matrix goes below this many bits per weight
    std::vector<std::pair<std::string, std::string>> tensor_types;  ///< (regex over GGUF names, type), first match wins
    std::string align = "auto";  ///< rows that bar 256-wide types: auto | none | pad | columns, the last not in stock
    bool require_stock = true;   ///< fail where stock llama.cpp could not run the output
    /// Scale channels first, by what they carry, so that less is lost by quantising them; needs statistics. Adapters
    /// that were trained on the base do not fit such an output any more.
    bool equalize = false;
    TrialRequest trials;  ///< policy optimal only
    int threads = 0;      ///< 0: all processors
};

/// Refuses what plan() would refuse of its options before it looks at scores, which need not be there yet.
/// @throws Error (kUsage; as open_model)
PLASTICITY_API void check_plan_options(const PlanOptions& options);

/// PLAN: what to prune and a type for every tensor, within the device's memory or the file size asked for.
/// Deterministic, but for a refinement that is bounded by time.
/// @throws Error (kUsage, kMissing, kMalformed; kInfeasible with the smallest budget that would do), Interrupted
Recipe plan(const PlanOptions& options, Progress& progress);

/// As plan(), for programs that link the library, to whom a recipe is its file. A refinement that is interrupted leaves
/// its checkpoint, if there is to be one, for the next call.
/// @param output  recipe.json to write; empty: none. @returns its text
/// @throws as plan(); Error (kUsage, kIo) before any work where the output cannot be written
PLASTICITY_API std::string plan_to_file(const PlanOptions& options, const std::filesystem::path& output,
                                        Overwrite overwrite, Progress& progress);

}  // namespace plasticity
