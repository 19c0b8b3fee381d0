#include "ipc/parameters.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdlib>
#include <nlohmann/json.hpp>
#include <optional>

#include "core/error.h"
#include "io/hub_name.h"
#include "io/printable.h"
#include "io/strict_json.h"

namespace plasticity {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::json;

constexpr std::size_t kMaxTextBytes = 64 << 10;
constexpr std::size_t kMaxPaths = 4096;
constexpr std::size_t kMaxEntries = 256;
constexpr std::uint64_t kMaxInteger = std::uint64_t{1} << 53;  // what every JSON reader holds exactly
constexpr int kMaxObjectDepth = 4;

[[noreturn]] void refuse(ParameterKind kind, const Json& value) {
    std::string got = value.dump(-1, ' ', false, Json::error_handler_t::replace);
    throw Error(ErrorKind::kUsage, fmt::format("is {}; expected {}", printable(got), kind_text(kind)));
}

std::string text_of(ParameterKind kind, const Json& value) {
    if (!value.is_string()) refuse(kind, value);
    auto text = value.get<std::string>();
    if (text.empty() || text.size() > kMaxTextBytes || text.find('\0') != std::string::npos) refuse(kind, value);
    return text;
}

Json path_of(ParameterKind kind, const Json& value, const ParameterRules& rules) {
    std::string text = text_of(kind, value);
    fs::path path = expand_home(text);
    if (path.is_absolute()) return path.lexically_normal().string();
    std::error_code ignored;
    const bool may_be_hub_name = kind == ParameterKind::kModel && parse_hub_name(text).has_value();
    if (may_be_hub_name && (rules.folder.empty() || !fs::exists(rules.folder / path, ignored))) return text;
    if (rules.folder.empty())
        throw Error(ErrorKind::kUsage, fmt::format("is {}; expected {} from / or ~/ on", printable(text),
                                                   kind == ParameterKind::kModel ? "a hub name, or a path" : "a path"));
    return (rules.folder / path).lexically_normal().string();
}

Json paths_of(const Json& value, const ParameterRules& rules) {
    Json list = value.is_array() ? value : Json::array({value});
    if (list.empty() || list.size() > kMaxPaths) refuse(ParameterKind::kInputs, value);
    for (Json& entry : list) entry = path_of(ParameterKind::kInput, entry, rules);
    return list;
}

template <typename Number>
std::optional<Number> parse_number(const std::string& text) {
    Number number{};
    const auto [end, problem] = std::from_chars(text.data(), text.data() + text.size(), number);
    return problem == std::errc() && end == text.data() + text.size() ? std::optional(number) : std::nullopt;
}

Json integer_of(const Json& value, bool from_text) {
    std::optional<std::int64_t> number;
    const bool is_too_large = value.is_number_unsigned() && value.get<std::uint64_t>() > kMaxInteger;
    if (value.is_number_integer() && !is_too_large) number = value.get<std::int64_t>();
    if (from_text && value.is_string()) number = parse_number<std::int64_t>(value.get<std::string>());
    if (!number || *number < 0 || static_cast<std::uint64_t>(*number) > kMaxInteger)
        refuse(ParameterKind::kInteger, value);
    return *number;
}

Json number_of(const Json& value, bool from_text) {
    std::optional<double> number;
    if (value.is_number()) number = value.get<double>();
    if (from_text && value.is_string()) number = parse_number<double>(value.get<std::string>());
    if (!number || !std::isfinite(*number) || *number < 0) refuse(ParameterKind::kNumber, value);
    return *number;
}

Json switch_of(const Json& value, bool from_text) {
    if (from_text && (value == "true" || value == "false")) return value == "true";
    if (!value.is_boolean()) refuse(ParameterKind::kSwitch, value);
    return value;
}

/// Objects are passed on as one argument or one file; what is in them is checked by who reads it.
Json object_of(ParameterKind kind, const Json& value, bool from_text) {
    Json object = value;
    if (from_text && value.is_string()) object = parse_strict_json(value.get<std::string>(), "value", kMaxObjectDepth);
    if (!object.is_object() || object.size() > kMaxEntries) refuse(kind, value);
    const bool is_plain = std::ranges::none_of(object, [](const Json& entry) { return entry.is_structured(); });
    if (!is_plain || object.dump(-1, ' ', false, Json::error_handler_t::replace).size() > kMaxTextBytes)
        refuse(kind, value);
    return object;
}

}  // namespace

std::string_view kind_text(ParameterKind kind) {
    switch (kind) {
        case ParameterKind::kModel:
            return "path or hub name of a model";
        case ParameterKind::kInput:
            return "path";
        case ParameterKind::kInputs:
            return "path or list of paths";
        case ParameterKind::kOutput:
            return "path to write";
        case ParameterKind::kText:
            return "text";
        case ParameterKind::kSize:
            return "bytes, or text as 12.9GB";
        case ParameterKind::kDevice:
            return "a device's name, or {memoryGb, reservedGb, label}";
        case ParameterKind::kInteger:
            return "a whole number from 0";
        case ParameterKind::kNumber:
            return "a number from 0";
        case ParameterKind::kSwitch:
            return "true or false";
        case ParameterKind::kObject:
            return "an object of plain values";
    }
    return "";
}

fs::path expand_home(std::string_view path) {
    if (!path.starts_with('~')) return path;
    if (path != "~" && !path.starts_with("~/"))
        throw Error(ErrorKind::kUsage, fmt::format("is {}; expected ~/ for the home folder", printable(path)));
    const char* home = std::getenv("HOME");
    if (home == nullptr || *home != '/')
        throw Error(ErrorKind::kUsage, fmt::format("is {}, but HOME names no folder", printable(path)));
    return path.size() <= 2 ? fs::path(home) : fs::path(home) / path.substr(2);
}

Json check_value(ParameterKind kind, const Json& value, const ParameterRules& rules) {
    if (rules.keeps_templates && value.is_string() &&
        value.get_ref<const std::string&>().find("{{") != std::string::npos)
        return value;
    switch (kind) {
        case ParameterKind::kModel:
        case ParameterKind::kInput:
        case ParameterKind::kOutput:
            return path_of(kind, value, rules);
        case ParameterKind::kInputs:
            return paths_of(value, rules);
        case ParameterKind::kText:
            return text_of(kind, value);
        case ParameterKind::kSize:
            return value.is_string() ? Json(text_of(kind, value)) : integer_of(value, false);
        case ParameterKind::kDevice:
            if (!value.is_string()) return object_of(kind, value, false);
            return text_of(kind, value);
        case ParameterKind::kInteger:
            return integer_of(value, rules.from_text);
        case ParameterKind::kNumber:
            return number_of(value, rules.from_text);
        case ParameterKind::kSwitch:
            return switch_of(value, rules.from_text);
        case ParameterKind::kObject:
            return object_of(kind, value, rules.from_text);
    }
    return nullptr;
}

Json check_parameters(const Method& method, const Json& given, const ParameterRules& rules) {
    if (!given.is_object())
        throw Error(ErrorKind::kUsage,
                    fmt::format("{}: the parameters are no object of names and values", method.name));
    std::vector<std::string> problems;
    Json checked = Json::object();
    for (const Parameter& parameter : method.parameters) {
        const auto found = given.find(parameter.name);
        if (found == given.end() || found->is_null()) {
            if (parameter.is_required)
                problems.push_back(
                    fmt::format("{}: is missing; expected {}", parameter.name, kind_text(parameter.kind)));
            continue;
        }
        try {
            checked[std::string(parameter.name)] = check_value(parameter.kind, *found, rules);
        } catch (const Error& problem) {
            problems.push_back(fmt::format("{}: {}", parameter.name, problem.what()));
        }
    }
    for (const auto& [name, value] : given.items()) {
        const auto is_it = [&name = name](const Parameter& parameter) { return parameter.name == name; };
        if (std::ranges::none_of(method.parameters, is_it) && problems.size() < kMaxEntries)
            problems.push_back(fmt::format("{}: is no parameter of it", printable(name)));
    }
    if (!problems.empty())
        throw Error(ErrorKind::kUsage, fmt::format("{}: {}", method.name, fmt::join(problems, "; ")));
    return checked;
}

}  // namespace plasticity
