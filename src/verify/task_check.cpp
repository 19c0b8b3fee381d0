#include "verify/task_check.h"

#include <fmt/format.h>

#include <algorithm>
#include <string_view>

#include "core/error.h"
#include "core/regular_expression.h"
#include "engine/generate.h"
#include "engine/tokenizer.h"
#include "io/atomic_file.h"
#include "io/child_process.h"
#include "io/python.h"
#include "io/sandbox.h"
#include "io/temporary_folder.h"
#include "verify/subject.h"

namespace plasticity {
namespace {

constexpr double kPythonDeadlineSeconds = 20;  // beside the sandbox's limit of processor time: programs may wait
constexpr std::size_t kMaxDetailBytes = 200;

std::string_view trimmed(std::string_view text) {
    constexpr std::string_view kSpace = " \t\r\n";
    const std::size_t begin = text.find_first_not_of(kSpace);
    if (begin == std::string_view::npos) return {};
    return text.substr(begin, text.find_last_not_of(kSpace) - begin + 1);
}

std::optional<std::string> judge_regex(const Task& task, std::string_view output) {
    if (RegularExpression(task.expected, LetterCase::kKept).is_in(output)) return std::nullopt;
    return "the expression is not found";
}

/// What a traceback ends with.
std::string last_line(std::string_view text) {
    text = trimmed(text);
    const std::size_t end = text.rfind('\n');
    return std::string((end == std::string_view::npos ? text : text.substr(end + 1)).substr(0, kMaxDetailBytes));
}

const std::filesystem::path& require_python() {
    static const std::filesystem::path python = find_python();
    if (python.empty())
        throw Error(ErrorKind::kUsage,
                    "tasks: there is no python3 in PATH that runs, but tasks have checkers in Python; install it, or "
                    "leave them out");
    return python;
}

std::optional<std::string> judge_python(const Task& task, const std::string& output) {
    const TemporaryFolder folder;
    write_text_file(folder.path() / "prompt.txt", task.prompt, Overwrite::kRefuse);
    write_text_file(folder.path() / "output.txt", output, Overwrite::kRefuse);
    constexpr std::string_view kBegin =
        "prompt = open('prompt.txt', encoding='utf-8', errors='replace', newline='').read()\n"
        "output = open('output.txt', encoding='utf-8', errors='replace', newline='').read()\n";
    write_text_file(folder.path() / "check.py", std::string(kBegin) + task.expected + "\n", Overwrite::kRefuse);
    const ChildResult ran = run_child({.program = require_python(),
                                       .arguments = {"-I", "-B", "check.py"},
                                       .folder = folder.path(),
                                       .sandbox = Sandbox{.folder = folder.path()}},
                                      {.deadline_seconds = kPythonDeadlineSeconds});
    if (ran.succeeded()) return std::nullopt;
    const std::string said = last_line(ran.err);
    return fmt::format("python: {}{}{}", ran.ending(), said.empty() ? "" : ": ", said);
}

std::string answer(const Tokenizer& tokenizer, Decoder& decoder, const Task& task) {
    const std::vector<ChatMessage> message{{"user", task.prompt}};
    const auto prompt = task.is_chat ? tokenizer.encode(tokenizer.apply_chat_template(message), true, true)
                                     : tokenizer.encode(task.prompt, true, false);
    decoder.clear();
    GenerateOptions options;
    options.max_tokens = task.max_tokens;
    options.sampler.temperature = 0;
    options.stop = task.stop;
    return generate(decoder, tokenizer, {.tokens = prompt, .fed_already = {}}, options, {}).text;
}

}  // namespace

void require_checkers(std::span<const Task> tasks) {
    const auto is_python = [](const Task& task) { return task.checker == Checker::kPython; };
    if (std::ranges::none_of(tasks, is_python)) return;
    const std::string obstacle = sandbox_obstacle();
    if (!obstacle.empty())
        throw Error(ErrorKind::kUsage,
                    fmt::format("tasks: what a model wrote runs in a sandbox alone, and {}; or leave "
                                "out tasks with checkers in Python",
                                obstacle));
    require_python();
}

std::optional<std::string> judge_output(const Task& task, const std::string& output) {
    switch (task.checker) {
        case Checker::kExact:
            if (trimmed(output) == trimmed(task.expected)) return std::nullopt;
            return fmt::format("expected \"{}\"", trimmed(task.expected).substr(0, kMaxDetailBytes));
        case Checker::kRegex:
            return judge_regex(task, output);
        case Checker::kPython:
            break;
    }
    return judge_python(task, output);
}

void check_tasks(const Model& model, Decoder& decoder, std::span<const Task> tasks, std::optional<double> min_accuracy,
                 Findings findings) {
    auto& [report, progress] = findings;
    const Tokenizer tokenizer(model.tokenizer());
    TaskResults& results = *report.tasks;
    progress.begin("tasks", tasks.size(), "tasks");
    for (const Task& task : tasks) {
        TaskOutcome outcome{
            .name = task.name, .passed = false, .output = answer(tokenizer, decoder, task), .detail = ""};
        const auto problem = judge_output(task, outcome.output);
        outcome.passed = !problem;
        outcome.detail = problem.value_or("");
        results.outcomes.push_back(std::move(outcome));
        progress.advance(1, task.name);
    }
    progress.end();
    const std::string found = fmt::format("{} of {} passed ({:.1f} ± {:.1f} %)", results.n_passed(), tasks.size(),
                                          100 * results.accuracy(), 100 * results.standard_error());
    std::vector<std::string> problems;
    if (min_accuracy && results.accuracy() < *min_accuracy) {
        const auto first = std::ranges::find(results.outcomes, false, &TaskOutcome::passed);
        problems.push_back(fmt::format("{}; expected at least {:.1f} %; the first that did not: {}: {}", found,
                                       100 * *min_accuracy, first->name, first->detail));
    }
    report.checks.push_back(make_check("tasks", problems, found));
}

}  // namespace plasticity
