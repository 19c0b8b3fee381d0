#include <fmt/format.h>

#include <filesystem>
#include <string>

#include "ipc/arguments.h"
#include "ipc/method_list.h"

namespace plasticity {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;
using nlohmann::ordered_json;
using Kind = ParameterKind;

constexpr std::array kTopologyParameters{
    Parameter{"modelPath", Kind::kModel, "model, or a recipe.json", true},
};

std::vector<MethodStep> topology_steps(const json& p) {
    return {{.arguments = Arguments("inspect", p).positional("modelPath").take(), .outputs = {}}};
}

/// Counts that are the same in every layer are printed as one number.
ordered_json of_layer(const ordered_json& counts, std::size_t layer) {
    return counts.is_array() ? counts.at(layer) : counts;
}

ordered_json topology_of_model(const ordered_json& printed) {
    ordered_json result{{"kind", "model"},
                        {"modelName", printed.at("name")},
                        {"architecture", printed.at("architecture")},
                        {"headDim", printed.at("head_dim")},
                        {"contextLength", printed.at("context_length")},
                        {"parameters", printed.at("parameters")},
                        {"weightBytes", printed.at("weight_bytes")},
                        {"layers", ordered_json::array()}};
    const auto n_layers = printed.at("layers").get<std::size_t>();
    for (std::size_t layer = 0; layer < n_layers; ++layer)
        result["layers"].push_back({{"layerIndex", layer},
                                    {"numHeads", of_layer(printed.at("heads"), layer)},
                                    {"numKvHeads", of_layer(printed.at("kv_heads"), layer)},
                                    {"feedForwardLength", of_layer(printed.at("feed_forward_length"), layer)}});
    return result;
}

ordered_json topology_of_recipe(const ordered_json& recipe) {
    ordered_json result{
        {"kind", "recipe"}, {"modelName", recipe.at("baseModel")}, {"architecture", recipe.at("outputArchitecture")}};
    result.update(recipe.at("topology"));
    return result;
}

ordered_json topology_result(const json&, const std::vector<ordered_json>& documents) {
    const ordered_json& printed = documents.at(0);
    const auto kind = printed.at("kind").get<std::string>();
    if (kind == "recipe") return topology_of_recipe(printed);
    if (kind == "model") return topology_of_model(printed);
    return printed;  // scores or statistics: what they say of themselves
}

constexpr std::array kPipelineParameters{
    Parameter{"pipelinePath", Kind::kInput, "YAML file with the steps", true},
    Parameter{"input", Kind::kObject, "values of {{input.…}}"},
    Parameter{"workingFolder", Kind::kInput, "what relative paths are relative to; else the file's folder"},
    Parameter{"statePath", Kind::kOutput, "which steps are finished; else FILE.state.json in workingFolder"},
    Parameter{"dryRun", Kind::kSwitch, "resolve everything that can be, and run nothing"},
    Parameter{"allowShell", Kind::kSwitch, "run steps of type Shell; a server must allow it, too"},
    kForceParameter,
};

std::vector<MethodStep> pipeline_steps(const json& p) {
    Arguments arguments("pipeline", p);
    arguments.positional("pipelinePath")
        .options(
            {{"--state", "statePath"}, {"--dry-run", "dryRun"}, {"--allow-shell", "allowShell"}, {"--force", "force"}});
    const fs::path folder = fs::path(p.at("pipelinePath").get<std::string>()).parent_path();
    arguments.add(fmt::format("--folder={}", p.value("workingFolder", folder.string())));
    const json inputs = p.value("input", json::object());
    if (!inputs.empty()) arguments.add("--inputs=" + inputs.dump(-1, ' ', true, json::error_handler_t::replace));
    // A finished step is not repeated, whatever its outputs: the pipeline's own state says so.
    return {{.arguments = arguments.take(), .outputs = {}, .may_replace = true}};
}

ordered_json pipeline_result(const json&, const std::vector<ordered_json>& documents) {
    return documents.at(0);
}

}  // namespace

const Method& topology_method() {
    static const Method method{
        "plasticity/topology", "Heads, KV groups and widths of every layer of a model or a recipe",
        kTopologyParameters,   topology_steps,
        topology_result,       nothing_promised};
    return method;
}

const Method& pipeline_method() {
    static const Method method{"plasticity/pipeline", "Runs the steps of a YAML file; finished ones are not repeated",
                               kPipelineParameters,   pipeline_steps,
                               pipeline_result,       nothing_promised};
    return method;
}

}  // namespace plasticity
