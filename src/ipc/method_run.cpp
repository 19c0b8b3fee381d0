#include "ipc/method_run.h"

#include <fmt/format.h>

#include <algorithm>
#include <csignal>
#include <string>
#include <utility>

#include "artifact/json_text.h"
#include "core/error.h"
#include "core/interrupt.h"
#include "io/printable.h"
#include "ipc/child_process.h"

namespace plasticity {
namespace {

using nlohmann::ordered_json;

constexpr std::size_t kMaxMessageBytes = 16 << 10;
constexpr std::string_view kMessageStart = "plasticity: ";

/// Collects what a command says on stderr that is no progress: its error, which may have several lines.
class ErrorText {
public:
    void add(std::string_view line) {
        if (line.starts_with(kMessageStart)) {
            text_ = line.substr(kMessageStart.size());
        } else if (text_.size() + line.size() < kMaxMessageBytes) {
            text_ += (text_.empty() ? "" : "\n") + std::string(line);
        }
    }
    std::string take(const std::string& command) const {
        return text_.empty() ? fmt::format("{}: ended without a message", command) : terminal_text(text_, "\n");
    }

private:
    std::string text_;
};

void require_absent(const MethodStep& step) {
    if (step.may_replace) return;
    for (const auto& output : step.outputs) {
        std::error_code ignored;
        if (std::filesystem::symlink_status(output, ignored).type() != std::filesystem::file_type::not_found)
            throw Error(ErrorKind::kUsage,
                        fmt::format("{}: exists; expected a new name, or force to replace it", output.string()));
    }
}

/// The command line, with what replaces or continues what an earlier attempt left.
std::vector<std::string> arguments_of(const MethodStep& step, bool is_repeated) {
    std::vector<std::string> arguments = step.arguments;
    arguments.insert(arguments.end(), {"--json", "--log-json"});
    if (!step.outputs.empty() && (step.may_replace || is_repeated)) arguments.emplace_back("--force");
    if (step.can_resume && is_repeated) arguments.emplace_back("--resume");
    return arguments;
}

ordered_json document_of(const ChildEnd& end, const std::string& command) {
    ordered_json document = ordered_json::parse(end.out, nullptr, false);
    if (document.is_discarded() || !document.is_object())
        throw Error(ErrorKind::kInternal, fmt::format("{}: printed no JSON document", command));
    return document;
}

/// @returns what it printed
ordered_json run_step(const MethodStep& step, bool is_repeated, const MethodHooks& hooks,
                      const std::filesystem::path& program) {
    const std::string& command = step.arguments.front();
    ErrorText error;
    const auto on_line = [&](std::string_view line) {
        ordered_json event = line.starts_with('{') ? ordered_json::parse(line, nullptr, false) : ordered_json();
        if (!event.is_object() || !event.contains("event")) return error.add(line);
        event.emplace("command", command);
        hooks.on_progress(event);
    };
    bool was_stopped = false;
    const ChildEnd end =
        run_child({.program = program, .arguments = arguments_of(step, is_repeated), .folder = {}, .environment = {}},
                  on_line, [&] { return was_stopped = hooks.stopped(); });
    if (was_stopped && end.exit_code != 0) throw Interrupted(SIGTERM);
    if (end.exit_code == 128 + SIGTERM || end.exit_code == 128 + SIGINT) throw Interrupted(end.exit_code - 128);
    if (end.signal != 0)
        throw Error(ErrorKind::kInternal, fmt::format("{}: was ended by signal {}", command, end.signal));
    if (end.exit_code != 0 && end.exit_code != kVerificationFailed)
        throw Error(error_kind_of(end.exit_code).value_or(ErrorKind::kInternal), error.take(command));
    return document_of(end, command);
}

/// A report or a pipeline's result says whether all checks passed.
bool says_failed(const ordered_json& document) {
    const auto passed = document.find("passed");
    return passed != document.end() && *passed == false;
}

}  // namespace

ordered_json MethodState::to_json() const {
    return {{"documents", documents}, {"hasBegun", has_begun}};
}

MethodState MethodState::from_json(const nlohmann::json& object, const std::string& where) {
    ObjectReader reader(object, where);
    MethodState state;
    const nlohmann::json& list = reader.value("documents");
    if (!list.is_array()) reader.fail("documents", "is no list");
    for (const nlohmann::json& document : list) {
        if (!document.is_object()) reader.fail("documents", "holds what is no object");
        state.documents.emplace_back(document);
    }
    state.has_begun = reader.boolean("hasBegun");
    reader.finish();
    return state;
}

MethodResult run_method(const Method& method, const nlohmann::json& parameters, MethodState state,
                        const MethodHooks& hooks, const std::filesystem::path& program) {
    const std::vector<MethodStep> steps = method.steps(parameters);
    if (state.documents.size() > steps.size())
        throw Error(ErrorKind::kMalformed, fmt::format("{}: more steps are finished than there are", method.name));
    const bool is_repeated = std::exchange(state.has_begun, true);
    if (!is_repeated) {
        std::ranges::for_each(steps, require_absent);
        hooks.on_state(state);
    }
    for (std::size_t i = state.documents.size(); i < steps.size(); ++i) {
        state.documents.push_back(run_step(steps[i], is_repeated, hooks, program));
        hooks.on_state(state);
    }
    try {
        return {.data = method.result(parameters, state.documents),
                .exit_code = says_failed(state.documents.back()) ? kVerificationFailed : 0};
    } catch (const nlohmann::json::exception& problem) {
        throw Error(ErrorKind::kInternal, fmt::format("{}: a command printed another document than was expected: {}",
                                                      method.name, problem.what()));
    }
}

}  // namespace plasticity
