#include <fmt/format.h>

#include <filesystem>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "cli/command.h"
#include "core/error.h"
#include "ipc/client.h"
#include "ipc/parameters.h"

namespace plasticity {
namespace {

struct CallCommand {
    std::string method, socket;
    bool json = false, quiet = false, log_json = false;
};

/// --key=value, as text; of a key that is there several times a list; --key alone is true.
nlohmann::json typed_parameters(const std::vector<std::string>& arguments) {
    nlohmann::json parameters = nlohmann::json::object();
    for (const std::string& argument : arguments) {
        if (!argument.starts_with("--") || argument.size() == 2 || argument[2] == '=')
            throw Error(ErrorKind::kUsage, fmt::format("call: got {}; expected --key=value", argument));
        const std::size_t split = argument.find('=');
        const std::string key = argument.substr(2, split == std::string::npos ? split : split - 2);
        const std::string value = split == std::string::npos ? "true" : argument.substr(split + 1);
        if (!parameters.contains(key)) {
            parameters[key] = value;
            continue;
        }
        if (!parameters[key].is_array()) parameters[key] = nlohmann::json::array({parameters[key]});
        parameters[key].push_back(value);
    }
    return parameters;
}

/// What asks about a server's jobs.
nlohmann::json control_parameters(nlohmann::json typed) {
    if (typed.contains("jobId"))
        typed["jobId"] = check_value(ParameterKind::kInteger, typed["jobId"], {.folder = {}, .from_text = true});
    return typed;
}

/// @param method  nullptr: one that only servers have
MethodResult answer_of(const CallCommand& command, const Method* method, const nlohmann::json& parameters,
                       Progress& progress) {
    if (!command.socket.empty()) return call_server(expand_home(command.socket), command.method, parameters, progress);
    if (method != nullptr) return call_here(*method, parameters, progress);
    throw Error(
        ErrorKind::kUsage,
        fmt::format("call: {} without --socket; expected one of {}, or a server to ask: plasticity ipc --socket PATH",
                    command.method, method_names()));
}

void run_call(const CallCommand& command, const std::vector<std::string>& arguments, CommandResult& result) {
    const CommonOptions common{.quiet = command.quiet, .log_json = command.log_json};
    const auto progress = common.progress();
    const Method* method = find_method(command.method);
    const nlohmann::json typed = typed_parameters(arguments);
    const nlohmann::json parameters =
        method == nullptr
            ? control_parameters(typed)
            : check_parameters(*method, typed, {.folder = std::filesystem::current_path(), .from_text = true});
    const MethodResult answer = answer_of(command, method, parameters, *progress);
    print_json(answer.data);
    result.exit_code = answer.exit_code;
}

std::string method_help() {
    std::string text = "Methods and their parameters (*: must be given):\n";
    for (const Method& method : methods()) {
        text += fmt::format("\n  {}: {}\n", method.name, method.summary);
        for (const Parameter& parameter : method.parameters)
            text += fmt::format("    --{:<20}{} {}\n", fmt::format("{}=…", parameter.name),
                                parameter.is_required ? "*" : " ", parameter.help);
    }
    return text +
           "\nOf a server also: plasticity/jobs, plasticity/job, plasticity/attach and plasticity/cancel with "
           "--jobId=N,\n"
           "plasticity/methods, plasticity/shutdown.";
}

}  // namespace

void add_call_command(CLI::App& program, CommandResult& result) {
    auto command = std::make_shared<CallCommand>();
    CLI::App* app = program.add_subcommand(
        "call", "Calls a method of a server (plasticity ipc), or runs it here without one: --key=value");
    app->add_option("method", command->method, "plasticity/compress, …")->required();
    app->add_option("--socket", command->socket, "Of the server; without, the method runs in this process")
        ->envname("PLASTICITY_SOCKET");
    // threads, seed and force are the methods' own parameters here.
    app->add_flag("--json", command->json, "The result is JSON anyway")->group("Common");
    app->add_flag("--quiet", command->quiet, "No progress")->group("Common");
    app->add_flag("--log-json", command->log_json, "Progress as JSON lines on stderr")->group("Common");
    app->allow_extras();
    app->footer(method_help);
    app->callback([command, app, &result] { run_call(*command, app->remaining(), result); });
}

}  // namespace plasticity
