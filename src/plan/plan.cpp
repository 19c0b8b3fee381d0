#include "plasticity/plan.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <utility>

#include "artifact/equalization.h"
#include "artifact/gate_gradients.h"
#include "artifact/gram.h"
#include "artifact/recipe.h"
#include "artifact/statistics.h"
#include "core/error.h"
#include "core/progress.h"
#include "io/file_identity.h"
#include "model/model.h"
#include "plan/channel_damage.h"
#include "plan/damage.h"
#include "plan/fit.h"
#include "plan/head_compensation.h"
#include "plan/head_pruning.h"
#include "plan/input_checks.h"
#include "plan/kept_damages.h"
#include "plan/measured_choice.h"
#include "plan/request.h"
#include "plan/shrinkage.h"
#include "plan/trials.h"

namespace plasticity {
namespace {

std::optional<Statistics> load_optional_statistics(const PlanOptions& options, const Model& model) {
    if (!options.statistics) return std::nullopt;
    Statistics statistics = load_statistics(*options.statistics, model.architecture());
    require_statistics_fit(statistics, model, options.statistics->string());
    return statistics;
}

/// @throws Error (kMalformed) when they are of another model than the one that was scored
std::optional<GramFile> open_optional_gram(const PlanOptions& options, const GateGradients& scores) {
    if (!options.gram) return std::nullopt;
    std::optional<GramFile> gram(*options.gram);
    gram->require_model(scores.provenance.model_sha256);
    return gram;
}

/// Policy `auto` is `optimal` where the statistics hold what that needs, and `tiers` elsewhere.
bool is_optimal(const PlanGoal& goal, const Model& model, const std::optional<Statistics>& statistics,
                Progress& progress) {
    if (goal.policy == Policy::kTiers) return false;
    const bool possible = statistics && std::ranges::all_of(model.tensors(), [&](const ModelTensor& tensor) {
                              return tensor.is_vector || has_curvature(*statistics, model, tensor);
                          });
    if (!possible && goal.policy == Policy::kOptimal)
        throw Error(ErrorKind::kUsage,
                    "plan: --policy optimal needs statistics with the curvature of every matrix; expected --stats of "
                    "score, made with --curvature-every above 0. Score again, or use --policy tiers");
    if (!possible) progress.note("no statistics with curvature: planned by tiers");
    return possible;
}

struct DamageInquiry {
    const Model& model;
    const Statistics& statistics;
    const std::vector<DamageQuestion>& questions;
    const DamageOptions& how;
};

/// Everything that damages depend on.
std::string damages_made_from(const PlanOptions& options, const Model& model, const DamageOptions& how) {
    std::string key = fmt::format("damages {} {} {} {}", how.rows, how.gram.file != nullptr ? how.gram.most_bytes : 0,
                                  options.equalize, program_identity());
    key += source_identity(model);
    key += file_identity(*options.statistics);
    return options.gram ? key + file_identity(*options.gram) : key;
}

/// Measured, or as an earlier plan has kept them.
DamageTable damages_of(const PlanOptions& options, const DamageInquiry& asked, Progress& progress) {
    if (!options.damages) return measure_damage(asked.model, asked.statistics, asked.questions, asked.how, progress);
    KeptDamages kept(*options.damages, damages_made_from(options, asked.model, asked.how), progress);
    const std::vector<DamageQuestion> open = kept.open(asked.questions);
    if (!open.empty()) kept.add(measure_damage(asked.model, asked.statistics, open, asked.how, progress));
    return kept.answers(asked.questions);
}

/// [layer][query head]. Estimates are of few sequences, and those that came out lowest would be believed: they are
/// shrunk.
std::vector<std::vector<double>> head_damage(const Model& model, const Statistics& statistics) {
    std::vector<std::vector<double>> heads;
    std::vector<double> all;
    double sequences = 1;
    for (int layer = 0; layer < model.architecture().n_layer(); ++layer) {
        std::vector<double>& of_layer = heads.emplace_back();
        const std::string name = gguf_name({TensorRole::kAttentionOutput, layer});
        const CurvatureStatistics* curvature = statistics.find_curvature(name);
        if (curvature == nullptr) continue;
        of_layer = gate_damage(*curvature);
        all.insert(all.end(), of_layer.begin(), of_layer.end());
        sequences = std::max(sequences, sequence_count(statistics, *curvature));
    }
    all = shrunk(all, sequences);
    auto next = all.begin();
    for (std::vector<double>& of_layer : heads)
        for (double& head : of_layer) head = *next++;
    return heads;
}

/// Feed-forward channels that --prune ffn asks for. @returns what went, in words; empty: nothing was asked for
std::string prune_channels(const Model& model, const std::optional<Statistics>& statistics, const PlanOptions& options,
                           HeadPruning& heads) {
    if (options.prune.channel_share == 0) return "";
    if (!statistics)
        throw Error(ErrorKind::kUsage,
                    "plan: --prune ffn needs to know what each channel is worth; expected --stats of score, made with "
                    "--curvature-every above 0");
    ChannelPruning channels(model.architecture(), channel_damage(model, *statistics, options.threads));
    channels.prune_share(options.prune.channel_share);
    heads.set_channels(channels);
    return fmt::format("{} of {} feed-forward channels removed, cheapest first: {:.3g} nats per token",
                       channels.n_removed(), channels.n_channels(), MeasuredDamage::kTogether * channels.damage());
}

/// Trials correct predictions, which policy optimal makes.
PlanGoal goal_of(const PlanOptions& options, const Model& model) {
    PlanGoal goal = read_goal(options, model);
    require_trials_possible(options, model, goal);
    if (options.trials.any()) goal.policy = Policy::kOptimal;
    return goal;
}

}  // namespace

void check_plan_options(const PlanOptions& options) {
    goal_of(options, *open_model(options.model));
}

Recipe plan(const PlanOptions& options, Progress& progress) {
    auto model = open_model(options.model);
    const PlanGoal goal = goal_of(options, *model);
    const GateGradients scores = load_gate_gradients(options.scores);
    require_scores_fit(scores, model->architecture(), options.scores.string());
    auto statistics = load_optional_statistics(options, *model);
    auto gram = open_optional_gram(options, scores);
    equalize(model, statistics, gram, goal.equalization);

    std::optional<MeasuredDamage> damage;
    if (is_optimal(goal, *model, statistics, progress)) {
        const auto questions = damage_questions(*model, goal, padding_candidates(model->architecture(), goal.align));
        const DamageOptions how{
            .threads = options.threads,
            .gram = {.file = gram ? &*gram : nullptr, .most_bytes = options.gram_memory_bytes},
        };
        damage = {.types = damages_of(options, {*model, *statistics, questions, how}, progress),
                  .heads = head_damage(*model, *statistics),
                  .with_error_feedback = gram.has_value()};
        if (gram && goal.prune.kind != PruneRequest::Kind::kOff)
            damage->compensation = head_compensation(*model, *statistics, how.gram, options.threads, progress);
    }
    progress.begin("plan", 0, "");
    PruneRequest prune = goal.prune;
    if (damage && prune.kind == PruneRequest::Kind::kAuto) prune.kind = PruneRequest::Kind::kOff;  // fit() decides
    HeadPruning heads = choose_heads(model->architecture(), scores.layer_scores(), prune);
    std::string pruning = prune_channels(*model, statistics, options, heads);
    const FittedPlan planned =
        fit_plan({*model, scores, goal, damage ? &*damage : nullptr, std::move(pruning)}, std::move(heads));
    progress.end();
    return options.trials.any() ? try_plan(planned, *statistics, options, progress) : planned.recipe;
}

std::string plan_to_file(const PlanOptions& options, const std::filesystem::path& output, Overwrite overwrite,
                         Progress& progress) {
    if (!output.empty()) require_writable(output, overwrite);
    const Recipe recipe = plan(options, progress);
    if (!output.empty()) save_recipe(recipe, output, overwrite);
    return recipe_to_json(recipe);
}

}  // namespace plasticity
