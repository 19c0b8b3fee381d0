#include "plasticity/plan.h"

#include "artifact/gate_gradients.h"
#include "artifact/recipe.h"
#include "artifact/statistics.h"
#include "core/progress.h"
#include "model/model.h"
#include "plan/fit.h"
#include "plan/head_pruning.h"
#include "plan/input_checks.h"
#include "plan/request.h"

namespace plasticity {

Recipe plan(const PlanOptions& options, Progress& progress) {
    progress.begin("plan", 0, "");
    const auto model = open_model(options.model);
    const PlanGoal goal = read_goal(options, model->architecture());
    const GateGradients scores = load_gate_gradients(options.scores);
    require_scores_fit(scores, model->architecture(), options.scores.string());
    if (options.statistics)
        require_statistics_fit(load_statistics(*options.statistics), *model, options.statistics->string());

    HeadPruning heads = choose_heads(model->architecture(), scores.layer_scores(), goal.prune);
    Recipe recipe = fit({*model, scores, goal}, std::move(heads));
    progress.end();
    return recipe;
}

}  // namespace plasticity
