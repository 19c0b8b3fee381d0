#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <vector>

#include "api/outputs.h"
#include "artifact/score_spread.h"
#include "cli/command.h"
#include "cli/inspection.h"
#include "report/score_map.h"

namespace plasticity {
namespace {

struct InspectCommand {
    CommonOptions common;
    std::filesystem::path path;
    std::optional<std::filesystem::path> second;
    std::optional<std::filesystem::path> plot;
};

nlohmann::ordered_json spread_json(const InspectCommand& command, const ScoreSpread& spread) {
    nlohmann::ordered_json largest = nlohmann::ordered_json::array();
    for (const HeadSpread& head : spread.largest)
        largest.push_back({{"layer", head.layer}, {"head", head.head}, {"first", head.first}, {"second", head.second}});
    return {{"kind", "gate_gradients_spread"},           {"first", command.path.string()},
            {"second", command.second->string()},        {"rank_correlation", spread.rank_correlation},
            {"mean_difference", spread.mean_difference}, {"furthest_apart", largest}};
}

void show(const nlohmann::ordered_json& inspection, const CommonOptions& options) {
    if (options.json)
        print_json(inspection);
    else
        print_line(inspection_text(inspection));
}

/// Of two tasks, or one whose map is to be drawn.
void inspect_scores(const InspectCommand& command) {
    const CommandFiles files{.inputs = {command.path, command.second.value_or("")},
                             .outputs = {command.plot.value_or("")}};
    require_outputs(files, command.common.overwrite());
    std::vector<NamedScores> tasks;
    for (const auto& path : {std::optional(command.path), command.second})
        if (path) tasks.push_back({path->filename().string(), load_gate_gradients(*path)});
    std::optional<ScoreSpread> spread;
    if (tasks.size() == 2) spread = score_spread(tasks[0].gradients, tasks[1].gradients);
    if (command.plot) write_text_file(*command.plot, score_map_svg(tasks), command.common.overwrite());
    if (!spread) return show(inspect(command.path), command.common);
    if (command.common.json) return print_json(spread_json(command, *spread));
    print_line(score_map_text({tasks[0].gradients.layer_scores(), tasks[1].gradients.layer_scores()}) +
               score_spread_text(*spread));
}

}  // namespace

void add_inspect_command(CLI::App& program, CommandResult&) {
    auto command = std::make_shared<InspectCommand>();
    CLI::App* app = program.add_subcommand("inspect", "What is in a model or an artefact; exit 4 when it is malformed");
    app->add_option("path", command->path, "Model, statistics, gate_gradients.json or recipe.json")->required();
    app->add_option("second", command->second, "gate_gradients.json of another task: how far the two lie apart");
    app->add_option("--plot", command->plot, "Also draw the scores of gate_gradients.json as a heat map (SVG)");
    add_common_options(*app, command->common);
    app->callback([command] {
        if (command->second || command->plot) return inspect_scores(*command);
        show(inspect(command->path), command->common);
    });
}

}  // namespace plasticity
