#include <fmt/format.h>

#include <filesystem>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "cli/command.h"
#include "core/error.h"
#include "io/strict_json.h"
#include "ipc/parameters.h"
#include "pipeline/run_pipeline.h"

namespace plasticity {
namespace {

constexpr int kInputsDepth = 4;

struct PipelineCommand {
    CommonOptions common;
    PipelineOptions options;
    std::vector<std::string> inputs;  ///< key=value
    std::string inputs_json;
};

/// A leading ~/ is for the shell to expand, which does not within key=~/….
std::string expanded_value(const std::string& text) {
    return text.starts_with("~/") ? expand_home(text).string() : text;
}

nlohmann::json read_inputs(const PipelineCommand& command) {
    nlohmann::json inputs = command.inputs_json.empty()
                                ? nlohmann::json::object()
                                : parse_strict_json(command.inputs_json, "--inputs", kInputsDepth);
    if (!inputs.is_object()) throw Error(ErrorKind::kUsage, "--inputs: expected a JSON object");
    for (const std::string& input : command.inputs) {
        const std::size_t split = input.find('=');
        if (split == 0 || split == std::string::npos)
            throw Error(ErrorKind::kUsage, fmt::format("--input {}: expected key=value", input));
        inputs[input.substr(0, split)] = expanded_value(input.substr(split + 1));
    }
    return inputs;
}

std::string result_text(const nlohmann::ordered_json& document) {
    std::string text;
    for (const auto& [name, step] : document.at("steps").items())
        text += fmt::format("{}{}: {}", text.empty() ? "" : "\n", name,
                            step.contains("status") ? step["status"].get<std::string>() : step.dump());
    return text;
}

void run_pipeline_command(PipelineCommand& command, CommandResult& result) {
    command.options.input = read_inputs(command);
    command.options.repeat = command.common.force;
    command.options.folder =
        std::filesystem::absolute(command.options.folder.empty() ? "." : command.options.folder).lexically_normal();
    if (!std::filesystem::is_directory(command.options.folder))
        throw Error(ErrorKind::kMissing, fmt::format("{}: is no folder", command.options.folder.string()));
    const auto progress = command.common.progress();
    const PipelineResult done = run_pipeline(command.options, *progress);
    if (command.common.json)
        print_json(done.document);
    else
        print_line(result_text(done.document));
    if (!done.error_message.empty()) throw Error(static_cast<ErrorKind>(done.exit_code), done.error_message);
    result.exit_code = done.exit_code;
}

}  // namespace

void add_pipeline_command(CLI::App& program, CommandResult& result) {
    auto command = std::make_shared<PipelineCommand>();
    PipelineOptions& options = command->options;
    CLI::App* app = program.add_subcommand("pipeline", "Runs the steps of a YAML file; finished ones are not repeated");
    app->add_option("file", options.file, "YAML file with the steps")->required();
    app->add_option("--input", command->inputs, "key=value for {{input.key}}");
    app->add_option("--inputs", command->inputs_json, "The same as one JSON object");
    app->add_option("-C,--folder", options.folder, "What relative paths are relative to; default: the current one");
    app->add_option("--state", options.state, "Which steps are finished; default: FILE.state.json in that folder");
    app->add_flag("--allow-shell", options.allow_shell, "Let steps of type Shell run");
    app->add_flag("--dry-run", options.dry_run, "Resolve everything that can be, and run nothing");
    add_common_options(*app, command->common);
    app->callback([command, &result] { run_pipeline_command(*command, result); });
}

}  // namespace plasticity
