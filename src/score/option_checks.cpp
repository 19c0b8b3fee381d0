#include "score/option_checks.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdint>
#include <span>

#include "artifact/peft_folder.h"
#include "artifact/score_provenance.h"
#include "core/error.h"
#include "core/ranks.h"
#include "engine/bf16_product.h"
#include "engine/devices.h"
#include "score/fine_tune.h"

namespace plasticity {
namespace {

/// BF16 keeps three bits fewer of every factor than F16 does, which is far below what another sample of the data
/// changes scores by, and goes through instructions for it almost twice as fast.
WeightPrecision automatic_precision(const ScoreOptions& options) {
    const bool on_cpu = !choose_device(options.backend.device, compute_devices());
    const std::uint8_t fast = on_cpu && multiplies_bf16() ? 1 : 0;
    Ranks& ranks = options.ranks != nullptr ? *options.ranks : alone();
    const auto all = exchange_values(ranks, std::span(&fast, 1));
    const bool fast_everywhere = std::ranges::all_of(all, [](const auto& theirs) { return theirs.front() == 1; });
    return fast_everywhere ? WeightPrecision::kBF16 : WeightPrecision::kF16;
}

void refuse(bool holds, const char* message) {
    if (holds) throw Error(ErrorKind::kUsage, message);
}

void require_gram_possible(const ScoreOptions& options) {
    if (!options.gram) return;
    refuse(options.ranks != nullptr && options.ranks->size() > 1,
           "score: --gram by several processes; Gram matrices are kept in F32 and do not add up exactly. Score them in "
           "one process");
    refuse(!options.slice.empty(),
           "score: --gram with --slice; Gram matrices are kept in F32 and do not merge exactly. Score them in one run");
}

void require_training_possible(const ScoreOptions& options) {
    if (options.fine_tune) require_sound(*options.fine_tune);
    refuse(
        options.fine_tune && options.fine_tune->epochs > 0 && !options.slice.empty(),
        "score: training on a slice; slices share one adapter. Train it first with --save-adapter DIR, then score the "
        "slices with --adapter DIR");
    refuse(options.save_adapter && !options.fine_tune && !options.adapter,
           "score: --save-adapter without an adapter; expected --epochs, or --adapter, too");
}

/// By the process that writes them.
void require_outputs_possible(const ScoreOptions& options) {
    if (options.ranks != nullptr && !options.ranks->is_first()) return;
    if (options.statistics && !options.overwrite && std::filesystem::exists(*options.statistics))
        throw Error(ErrorKind::kUsage,
                    fmt::format("score: {} exists; pass --force to replace it", options.statistics->string()));
    if (options.save_adapter)
        require_peft_folder(*options.save_adapter, options.overwrite ? Overwrite::kReplace : Overwrite::kRefuse);
}

}  // namespace

void require_possible(const ScoreOptions& options) {
    require_gram_possible(options);
    require_training_possible(options);
    if (!options.slice.empty()) parse_score_slice(options.slice);
    require_outputs_possible(options);
}

WeightPrecision resolve_precision(const ScoreOptions& options) {
    const WeightPrecision precision =
        options.precision == "auto" ? automatic_precision(options) : parse_weight_precision(options.precision);
    refuse(precision == WeightPrecision::kStored, "score: --precision stored; expected f32, f16, bf16 or auto");
    return precision;
}

}  // namespace plasticity
