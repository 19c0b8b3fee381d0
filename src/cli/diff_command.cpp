#include <memory>
#include <nlohmann/json.hpp>

#include "artifact/recipe.h"
#include "cli/command.h"
#include "plan/recipe_diff.h"

namespace plasticity {
namespace {

struct DiffCommand {
    CommonOptions common;
    std::filesystem::path a;
    std::filesystem::path b;
};

nlohmann::ordered_json type_json(const std::optional<ggml_type>& type) {
    if (!type) return nullptr;
    return ggml_type_name(*type);
}

nlohmann::ordered_json diff_json(const RecipeDiff& difference) {
    nlohmann::ordered_json statements = nlohmann::ordered_json::array(), layers = statements, types = statements;
    for (const StatementDiff& statement : difference.statements)
        statements.push_back({{"what", statement.what}, {"a", statement.a}, {"b", statement.b}});
    for (const LayerDiff& layer : difference.layers)
        layers.push_back({{"layer", layer.layer},
                          {"heads_only_in_a", layer.heads_only_in_a},
                          {"heads_only_in_b", layer.heads_only_in_b},
                          {"kv_heads_only_in_a", layer.kv_heads_only_in_a},
                          {"kv_heads_only_in_b", layer.kv_heads_only_in_b},
                          {"feed_forward_channels_only_in_a", layer.n_channels_only_in_a},
                          {"feed_forward_channels_only_in_b", layer.n_channels_only_in_b}});
    for (const TypeDiff& type : difference.types)
        types.push_back({{"matrix", type.matrix}, {"a", type_json(type.a)}, {"b", type_json(type.b)}});
    return {{"same", difference.empty()}, {"statements", statements}, {"layers", layers}, {"types", types}};
}

void run_diff(const DiffCommand& command) {
    const RecipeDiff difference = diff(load_recipe(command.a), load_recipe(command.b));
    if (command.common.json)
        print_json(diff_json(difference));
    else
        print_line(diff_text(difference));
}

}  // namespace

void add_diff_command(CLI::App& program, CommandResult&) {
    auto command = std::make_shared<DiffCommand>();
    CLI::App* app = program.add_subcommand("diff", "How two recipes for one model differ");
    app->add_option("a", command->a, "recipe.json")->required();
    app->add_option("b", command->b, "recipe.json")->required();
    add_common_options(*app, command->common);
    app->callback([command] { run_diff(*command); });
}

}  // namespace plasticity
