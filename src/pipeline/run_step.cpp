#include "pipeline/run_step.h"

#include <fmt/format.h>

#include <algorithm>
#include <vector>

#include "core/error.h"
#include "core/interrupt.h"
#include "io/child_process.h"
#include "io/file_identity.h"
#include "io/printable.h"
#include "ipc/child_process.h"
#include "ipc/parameters.h"
#include "ipc/progress_replay.h"

namespace plasticity {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;
using nlohmann::ordered_json;

constexpr std::size_t kMaxShellOutput = 64 << 10;
constexpr const char* kShell = "/bin/sh";

/// Of the files that a step reads; what is not there is for its command to report.
std::string identity_of_inputs(const StepCall& call) {
    std::string identity;
    for (const Parameter& parameter : call.method->parameters) {
        const auto value = call.parameters.find(parameter.name);
        if (value == call.parameters.end() || !is_read(parameter.kind)) continue;
        const json list = value->is_array() ? *value : json::array({*value});
        for (const json& path : list) {
            std::error_code ignored;
            const fs::path file = path.get<std::string>();
            if (fs::exists(file, ignored)) identity += identity_of_files({file});
        }
    }
    return identity;
}

std::string fingerprint_of(const StepCall& call) {
    std::vector<std::string> parts{program_identity(), std::string(call.method->name), call.parameters.dump(),
                                   identity_of_inputs(call)};
    for (const MethodStep& step : call.method->steps(call.parameters))
        parts.insert(parts.end(), step.arguments.begin(), step.arguments.end());
    return fingerprint(parts);
}

std::vector<std::string> all_outputs(const StepCall& call) {
    std::vector<std::string> outputs;
    for (const MethodStep& step : call.method->steps(call.parameters))
        for (const fs::path& output : step.outputs) outputs.push_back(output.string());
    return outputs;
}

bool are_there(const std::vector<std::string>& files) {
    std::error_code ignored;
    return std::ranges::all_of(files, [&](const std::string& file) { return fs::exists(file, ignored); });
}

/// What an earlier run, or an earlier state of the same step, has made may be replaced; anything else may not.
void begin_anew(StepRecord& record, const std::string& wanted, std::vector<std::string> outputs) {
    const bool is_own = !record.outputs.empty() && record.outputs == outputs;
    record = {.fingerprint = wanted, .outputs = std::move(outputs), .is_finished = false, .progress = {}, .data = {}};
    record.progress.has_begun = is_own;
}

}  // namespace

json shell_variables(const json& values) {
    json variables = json::object();
    for (const auto& [name, value] : values.items()) {
        if (value.is_structured())
            throw Error(ErrorKind::kUsage, fmt::format("{}: is a list or an object; expected a plain value", name));
        variables[name] = value.is_string() ? value : json(value.is_null() ? "" : value.dump());
        if (variables[name].get_ref<const std::string&>().find('\0') != std::string::npos)
            throw Error(ErrorKind::kUsage, fmt::format("{}: holds NUL; expected text", name));
    }
    return variables;
}

StepOutcome StepRunner::run(const StepCall& call, PipelineState& state) const {
    return call.method == nullptr ? run_shell(call) : run_command(call, state);
}

StepOutcome StepRunner::run_command(const StepCall& call, PipelineState& state) const {
    StepRecord& record = state.at(call.key);
    const std::string wanted = fingerprint_of(call);
    const bool is_same = record.fingerprint == wanted && !options_.repeat;
    if (is_same && record.is_finished && are_there(record.outputs)) {
        progress_.note(fmt::format("{}: done before, inputs unchanged", call.key));
        return {.data = record.data, .exit_code = 0, .is_kept = true};
    }
    if (!is_same || record.is_finished) begin_anew(record, wanted, all_outputs(call));
    ProgressReplay replay(progress_);
    const MethodHooks hooks{.on_progress = [&](const ordered_json& event) { replay.show(event); },
                            .on_state =
                                [&](const MethodState& progress) {
                                    record.progress = progress;
                                    state.save();
                                },
                            .stopped = is_interrupted};
    MethodResult result;
    try {
        result = run_method(*call.method, call.parameters, record.progress, hooks, own_program());
    } catch (const Error&) {
        record.progress.documents.clear();  // what has failed begins from its first command
        state.save();
        throw;
    }
    record.progress.documents.clear();
    record.is_finished = result.exit_code == 0;
    record.data = result.data;
    state.save();
    return {.data = std::move(result.data), .exit_code = result.exit_code, .is_kept = false};
}

/// Shell steps are never kept: nobody knows what they depend on.
StepOutcome StepRunner::run_shell(const StepCall& call) const {
    ChildCommand command{
        .program = kShell, .arguments = {"-c", call.shell}, .folder = options_.folder, .environment = {}};
    for (const auto& [name, value] : call.parameters.items())
        command.environment.emplace_back(name, value.get<std::string>());
    ChildEnd end =
        run_child(command, [&](std::string_view line) { progress_.note(terminal_text(line)); }, is_interrupted);
    throw_if_interrupted();
    if (end.out.ends_with('\n')) end.out.pop_back();
    if (end.out.size() > kMaxShellOutput)
        throw Error(ErrorKind::kUsage, fmt::format("{}: printed {} bytes; expected {} at most", call.key,
                                                   end.out.size(), kMaxShellOutput));
    if (end.exit_code != 0) progress_.note(fmt::format("{}: ended with exit code {}", call.key, end.exit_code));
    return {.data = {{"output", end.out}, {"exitCode", end.exit_code}},
            .exit_code = end.exit_code == 0 ? 0 : kVerificationFailed,
            .is_kept = false};
}

}  // namespace plasticity
