#include <fmt/format.h>

#include <memory>
#include <nlohmann/json.hpp>

#include "cli/command.h"
#include "cli/inspection.h"

namespace plasticity {
namespace {

struct InspectCommand {
    CommonOptions common;
    std::filesystem::path path;
};

}  // namespace

void add_inspect_command(CLI::App& program, CommandResult&) {
    auto command = std::make_shared<InspectCommand>();
    CLI::App* app = program.add_subcommand("inspect", "What is in a model or an artefact; exit 4 when it is malformed");
    app->add_option("path", command->path, "Model, statistics, gate_gradients.json or recipe.json")->required();
    add_common_options(*app, command->common);
    app->callback([command] {
        const nlohmann::ordered_json found = inspect(command->path);
        if (command->common.json)
            print_json(found);
        else
            print_line(inspection_text(found));
    });
}

}  // namespace plasticity
