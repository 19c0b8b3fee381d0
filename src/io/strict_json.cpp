#include "io/strict_json.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>
#include <set>
#include <vector>

#include "core/error.h"
#include "io/printable.h"

namespace plasticity {

nlohmann::json parse_strict_json(std::string_view text, const std::string& where, int max_depth) {
    using Event = nlohmann::json::parse_event_t;
    std::vector<std::set<std::string>> keys_of_open_objects;
    const auto check = [&](int depth, Event event, const nlohmann::json& parsed) {
        if (depth >= max_depth && (event == Event::object_start || event == Event::array_start))
            throw Error(ErrorKind::kMalformed, fmt::format("{}: nested deeper than {} levels", where, max_depth));
        if (event == Event::object_start) keys_of_open_objects.emplace_back();
        if (event == Event::object_end) keys_of_open_objects.pop_back();
        if (event == Event::key && !keys_of_open_objects.back().insert(parsed.get<std::string>()).second)
            throw Error(ErrorKind::kMalformed,
                        fmt::format("{}: key {} appears twice", where, printable(parsed.get<std::string>())));
        return true;
    };
    try {
        return nlohmann::json::parse(text, check);
    } catch (const nlohmann::json::exception& problem) {
        throw Error(ErrorKind::kMalformed, fmt::format("{}: not valid JSON: {}", where, json_problem(problem.what())));
    }
}

std::string json_problem(std::string_view what) {
    constexpr std::size_t kMaxBytes = 300;  // the reason stands before the text it is about, which may be long
    const std::size_t tag_end = what.find("] ");
    return printable(tag_end == std::string_view::npos ? what : what.substr(tag_end + 2), kMaxBytes);
}

}  // namespace plasticity
