#include <fmt/format.h>

#include <memory>
#include <nlohmann/json.hpp>

#include "api/stage_files.h"
#include "artifact/recipe.h"
#include "cli/command.h"
#include "cli/plan_options.h"
#include "core/units.h"
#include "plan/explain.h"
#include "plasticity/plan.h"

namespace plasticity {
namespace {

struct PlanCommand {
    CommonOptions common;
    PlanArguments arguments;
    std::filesystem::path output;
    std::string gram_memory;
    bool explain = false;
};

/// A device bounds the memory at run time, otherwise the file is bounded.
std::string sizes_against_limit(const Recipe& recipe) {
    const std::string file = format_bytes(recipe.budget.file_bytes), memory = format_bytes(recipe.budget.total_bytes),
                      limit = format_bytes(recipe.budget.limit_bytes);
    if (recipe.device) return fmt::format("file {}, at run time {} of {}", file, memory, limit);
    return fmt::format("file {} of {}, at run time {}", file, limit, memory);
}

void run_plan(const PlanCommand& command) {
    const auto progress = command.common.progress();
    PlanOptions options = command.arguments.resolve();
    options.threads = command.common.threads;
    if (!command.gram_memory.empty()) options.gram_memory_bytes = parse_bytes(command.gram_memory);
    require_outputs(files_of(options, command.output), command.common.overwrite());
    if (options.trials.refines() && !command.output.empty())
        options.trials.checkpoint = command.output.string() + ".checkpoint";
    const Recipe recipe = plan(options, *progress);
    if (!command.output.empty()) save_recipe(recipe, command.output, command.common.overwrite());
    if (options.trials.checkpoint) std::filesystem::remove(*options.trials.checkpoint);  // nothing is left to continue
    if (command.common.json)
        print_json(nlohmann::ordered_json::parse(recipe_to_json(recipe)));
    else if (command.explain)
        print_line(explain(recipe));
    else
        print_line(fmt::format("{}: {}, {}", command.output.string(), recipe.topology.precision_profile,
                               sizes_against_limit(recipe)));
}

void add_trial_options(CLI::App& command, TrialRequest& trials) {
    command.add_option("--data", trials.data, "Calibration text for --calibrate and --refine")->group("Trials");
    command
        .add_flag("--calibrate", trials.calibrate,
                  "Predict the divergence from plans that are measured in memory; --refine does so, too")
        ->group("Trials");
    command
        .add_option("--refine", trials.refine_minutes,
                    "Improve the plan for so many minutes by trials in memory; only measured gains count")
        ->check(CLI::NonNegativeNumber)
        ->group("Trials");
    command
        .add_option("--refine-trials", trials.refine_trials,
                    "The same, or at most, for so many trials: unlike minutes, they give the same recipe again")
        ->check(CLI::NonNegativeNumber)
        ->group("Trials");
    command
        .add_option("--calibration-tokens", trials.tokens,
                    "Of the text; 0: 1024, with --refine 4096, half to judge by and half to confirm by")
        ->check(CLI::NonNegativeNumber)
        ->group("Trials");
    command.add_flag("--resume", trials.resume, "Continue a refinement that ended early")->group("Trials");
}

}  // namespace

void add_plan_command(CLI::App& program, CommandResult&) {
    auto command = std::make_shared<PlanCommand>();
    PlanOptions& options = command->arguments.options;
    CLI::App* app = program.add_subcommand("plan", "What to prune, and a type for every tensor. Writes recipe.json");
    app->add_option("model", options.model, kModelHelp)->required();
    app->add_option("--scores", options.scores, "gate_gradients.json")->required();
    app->add_option("--stats", options.statistics, "Statistics of the same scoring run");
    CLI::Option* gram = app->add_option("--gram", options.gram,
                                        "Gram matrices that compress will have: types are then weighed as error "
                                        "feedback will leave them. Takes about as long as compress");
    app->add_option("--gram-memory", command->gram_memory, kGramMemoryHelp)->needs(gram);
    app->add_option(
        "--damages", options.damages,
        "Keep here what each type would cost each matrix: further plans of the same statistics start at once");
    add_plan_options(*app, command->arguments);
    add_trial_options(*app, options.trials);
    CLI::Option* output = app->add_option("-o,--output", command->output, "recipe.json to write");
    app->add_flag("--explain", command->explain, "Print the plan as a table");
    add_common_options(*app, command->common);
    app->callback([command, output] {
        if (output->count() == 0 && !command->explain && !command->common.json)
            throw CLI::RequiredError("--output (or --explain, or --json)");
        run_plan(*command);
    });
}

}  // namespace plasticity
