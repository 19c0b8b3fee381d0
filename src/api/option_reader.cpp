#include "api/option_reader.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <cmath>
#include <utility>

#include "core/error.h"
#include "core/units.h"
#include "io/printable.h"
#include "io/strict_json.h"

namespace plasticity {
namespace {

constexpr std::size_t kShownBytes = 80;

nlohmann::json parse_options(std::string_view text, const std::string& stage) {
    try {
        return parse_strict_json(text, fmt::format("{}: options", stage));
    } catch (const Error& problem) {  // they are the request, not a file
        throw Error(ErrorKind::kUsage, problem.what());
    }
}

}  // namespace

OptionReader::OptionReader(std::string_view json, std::string stage)
    : object_(parse_options(json, stage)), stage_(std::move(stage)) {
    if (!object_.is_object())
        throw Error(ErrorKind::kUsage,
                    fmt::format("{}: options are no JSON object; expected {{\"model\": …}}", stage_));
}

void OptionReader::fail(const std::string& key, std::string_view expected) const {
    std::string got = object_.contains(key) ? object_.at(key).dump() : "nothing";
    if (got.size() > kShownBytes) got = got.substr(0, kShownBytes) + "…";
    throw Error(ErrorKind::kUsage,
                fmt::format("{}: option \"{}\": got {}; expected {}", stage_, key, terminal_text(got, ""), expected));
}

const nlohmann::json* OptionReader::find(const std::string& key) {
    asked_.insert(key);
    const auto found = object_.find(key);
    return found == object_.end() || found->is_null() ? nullptr : &*found;
}

bool OptionReader::has(const std::string& key) {
    return find(key) != nullptr;
}

void OptionReader::require(const std::string& key, std::filesystem::path& value) {
    read(key, value);
    if (value.empty()) fail(key, "a path");
}

void OptionReader::read(const std::string& key, bool& value) {
    const nlohmann::json* json = find(key);
    if (json == nullptr) return;
    if (!json->is_boolean()) fail(key, "true or false");
    value = json->get<bool>();
}

void OptionReader::read(const std::string& key, double& value) {
    const nlohmann::json* json = find(key);
    if (json == nullptr) return;
    if (!json->is_number() || !std::isfinite(json->get<double>())) fail(key, "a number");
    value = json->get<double>();
}

void OptionReader::read(const std::string& key, float& value) {
    double wide = static_cast<double>(value);
    read(key, wide);
    value = static_cast<float>(wide);
    if (!std::isfinite(value)) fail(key, "a number that single precision holds");
}

std::int64_t OptionReader::integer(const std::string& key, std::int64_t current, std::int64_t lowest,
                                   std::int64_t highest) {
    const nlohmann::json* json = find(key);
    if (json == nullptr) return current;
    const std::string expected = fmt::format("a whole number, {} to {}", lowest, highest);
    if (!json->is_number_integer()) fail(key, expected);
    if (json->is_number_unsigned() && json->get<std::uint64_t>() > static_cast<std::uint64_t>(highest))
        fail(key, expected);
    const auto number = json->get<std::int64_t>();
    if (number < lowest || number > highest) fail(key, expected);
    return number;
}

void OptionReader::read(const std::string& key, std::string& value) {
    const nlohmann::json* json = find(key);
    if (json == nullptr) return;
    if (!json->is_string()) fail(key, "a text");
    value = json->get<std::string>();
}

void OptionReader::read(const std::string& key, std::filesystem::path& value) {
    const nlohmann::json* json = find(key);
    if (json == nullptr) return;
    const std::string text = json->is_string() ? json->get<std::string>() : "";
    if (text.empty() || text.find('\0') != std::string::npos) fail(key, "a path");
    value = text;
}

void OptionReader::read(const std::string& key, std::vector<std::string>& value) {
    const nlohmann::json* json = find(key);
    if (json == nullptr) return;
    value.clear();
    if (json->is_string()) value.push_back(json->get<std::string>());
    if (!json->is_string() && !json->is_array()) fail(key, "a text, or a list of texts");
    if (!json->is_array()) return;
    for (const nlohmann::json& item : *json) {
        if (!item.is_string()) fail(key, "a list of texts");
        value.push_back(item.get<std::string>());
    }
}

void OptionReader::read(const std::string& key, std::vector<std::filesystem::path>& value) {
    std::vector<std::string> texts;
    read(key, texts);
    if (has(key)) value.assign(texts.begin(), texts.end());
}

void OptionReader::read_bytes(const std::string& key, std::uint64_t& value) {
    const nlohmann::json* json = find(key);
    if (json == nullptr) return;
    if (!json->is_string() && !json->is_number_unsigned()) fail(key, "a number of bytes, or a text such as 12.9GB");
    value = json->is_string() ? parse_bytes(json->get<std::string>()) : json->get<std::uint64_t>();
}

void OptionReader::finish() const {
    for (const auto& [key, value] : object_.items())
        if (!asked_.contains(key))
            throw Error(ErrorKind::kUsage, fmt::format("{}: there is no option \"{}\"; expected of {}", stage_,
                                                       terminal_text(key, ""), fmt::join(asked_, ", ")));
}

}  // namespace plasticity
