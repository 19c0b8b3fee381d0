#include "verify/task_file.h"

#include <fmt/format.h>

#include <array>
#include <nlohmann/json.hpp>
#include <optional>
#include <stdexcept>
#include <string_view>
#include <utility>

#include "artifact/json_text.h"
#include "core/error.h"
#include "core/regular_expression.h"
#include "io/atomic_file.h"
#include "io/problem_list.h"
#include "io/strict_json.h"

namespace plasticity {
namespace {

constexpr std::uint64_t kMaxFileBytes = std::uint64_t{64} << 20;
constexpr std::size_t kMaxTasks = 100'000, kMaxStops = 16;
constexpr int kMaxLineDepth = 4;
constexpr std::int64_t kMaxTaskTokens = 32'768;

struct CheckerName {
    const char* name;
    Checker checker;
};
constexpr std::array kCheckers{CheckerName{"exact", Checker::kExact}, CheckerName{"regex", Checker::kRegex},
                               CheckerName{"python", Checker::kPython}};

void read_checker(ObjectReader& reader, Task& task) {
    int n_given = 0;
    for (const auto& [name, checker] : kCheckers) {
        if (!reader.has(name)) continue;
        ++n_given;
        task.checker = checker;
        task.expected = reader.text(name);
    }
    if (n_given != 1)
        reader.fail("exact", fmt::format("and its like: {} are given; expected exactly one of \"exact\", "
                                         "\"regex\" and \"python\"",
                                         n_given));
    if (task.checker != Checker::kRegex) return;
    try {
        static_cast<void>(RegularExpression(task.expected, LetterCase::kKept));
    } catch (const std::invalid_argument& problem) {
        reader.fail("regex", problem.what());
    }
}

std::vector<std::string> read_stops(ObjectReader& reader) {
    std::vector<std::string> stops;
    if (!reader.has("stop")) return stops;
    const nlohmann::json& held = reader.value("stop");
    if (!held.is_array() || held.size() > kMaxStops)
        reader.fail("stop", fmt::format("is no array of at most {} texts", kMaxStops));
    for (const nlohmann::json& stop : held) {
        if (!stop.is_string() || stop.get_ref<const std::string&>().empty())
            reader.fail("stop", "holds something else than texts that are not empty");
        stops.push_back(stop.get<std::string>());
    }
    return stops;
}

Task read_task(std::string_view line, const std::string& where) {
    const nlohmann::json json = parse_strict_json(line, where, kMaxLineDepth);
    ObjectReader reader(json, where);
    Task task{.name = reader.has("name") ? reader.text("name") : where, .prompt = reader.text("prompt")};
    if (task.prompt.empty()) reader.fail("prompt", "is empty");
    if (reader.has("chat")) task.is_chat = reader.boolean("chat");
    read_checker(reader, task);
    task.stop = read_stops(reader);
    if (reader.has("maxTokens"))
        task.max_tokens = static_cast<std::int32_t>(reader.integer("maxTokens", 1, kMaxTaskTokens));
    reader.finish();
    return task;
}

}  // namespace

std::vector<Task> parse_tasks(std::string_view text, const std::string& where) {
    std::vector<Task> tasks;
    ProblemList problems(where);
    std::size_t number = 0;
    while (!text.empty()) {
        const std::size_t end = std::min(text.find('\n'), text.size());
        const std::string_view line = text.substr(0, end);
        text.remove_prefix(std::min(end + 1, text.size()));
        ++number;
        if (line.find_first_not_of(" \t\r") == std::string_view::npos) continue;
        if (tasks.size() == kMaxTasks)
            throw Error(ErrorKind::kMalformed, fmt::format("{}: more than {} tasks", where, kMaxTasks));
        try {
            tasks.push_back(read_task(line, fmt::format("{}:{}", where, number)));
        } catch (const Error& error) {
            problems.add(error.what());
        }
    }
    problems.throw_if_any();
    if (tasks.empty()) throw Error(ErrorKind::kUsage, fmt::format("{}: holds no task; expected one a line", where));
    return tasks;
}

std::vector<Task> load_tasks(const std::filesystem::path& path) {
    return parse_tasks(read_text_file(path, kMaxFileBytes), path.string());
}

}  // namespace plasticity
