#include "model/config_reader.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "model/attempt.h"
#include "model/config_fields.h"

namespace plasticity {
namespace {

template <typename T, typename Read>
std::vector<T> read_array(const nlohmann::json& config, std::string_view key, ProblemList& problems, Read&& read) {
    const nlohmann::json* array = field(config, key);
    std::vector<T> values;
    if (!array) return values;
    if (!array->is_array()) {
        problems.add(fmt::format("{}: expected an array", key));
        return values;
    }
    for (std::size_t i = 0; i < array->size(); ++i) {
        const nlohmann::json element{{"value", (*array)[i]}};
        attempt(problems, [&] {
            const auto value = read(element, "value");
            if (!value) throw Error(ErrorKind::kMalformed, fmt::format("{}, entry {}: got null", key, i));
            values.push_back(*value);
        });
    }
    return values;
}

}  // namespace

bool ConfigReader::contains(std::string_view key) const {
    return field(config_, key) != nullptr;
}

std::int32_t ConfigReader::count(std::string_view key) const {
    std::int32_t value = 0;
    attempt(problems_, [&] {
        const auto found = integer_field(config_, key);
        if (!found) throw Error(ErrorKind::kMalformed, fmt::format("{}: absent; expected an integer", key));
        value = *found;
    });
    return value;
}

std::int32_t ConfigReader::count_or(std::string_view key, std::int32_t fallback) const {
    attempt(problems_, [&] { fallback = integer_field(config_, key).value_or(fallback); });
    return fallback;
}

float ConfigReader::real_or(std::string_view key, double fallback) const {
    attempt(problems_, [&] { fallback = real_field(config_, key).value_or(fallback); });
    return static_cast<float>(fallback);
}

bool ConfigReader::flag_or(std::string_view key, bool fallback) const {
    attempt(problems_, [&] { fallback = boolean_field(config_, key).value_or(fallback); });
    return fallback;
}

std::string ConfigReader::text_or(std::string_view key, std::string_view fallback) const {
    std::string value(fallback);
    attempt(problems_, [&] { value = text_field(config_, key).value_or(value); });
    return value;
}

std::vector<std::int32_t> ConfigReader::counts(std::string_view key) const {
    return read_array<std::int32_t>(config_, key, problems_, integer_field);
}

std::vector<std::string> ConfigReader::texts(std::string_view key) const {
    return read_array<std::string>(config_, key, problems_, text_field);
}

}  // namespace plasticity
