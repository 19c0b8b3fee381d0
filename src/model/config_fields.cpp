#include "model/config_fields.h"

#include <fmt/format.h>

#include <limits>

namespace plasticity {
namespace {

[[noreturn]] void refuse(std::string_view key, const nlohmann::json& got, std::string_view expected) {
    std::string shown = got.dump(-1, ' ', true, nlohmann::json::error_handler_t::replace);
    if (shown.size() > 60) shown = shown.substr(0, 60) + "…";
    throw Error(ErrorKind::kMalformed, fmt::format("{}: got {}; expected {}", key, shown, expected));
}

}  // namespace

const nlohmann::json* field(const nlohmann::json& object, std::string_view key) {
    if (!object.is_object()) return nullptr;
    const auto found = object.find(key);
    return found == object.end() || found->is_null() ? nullptr : &*found;
}

std::optional<std::int32_t> integer_field(const nlohmann::json& object, std::string_view key) {
    const nlohmann::json* value = field(object, key);
    if (!value) return std::nullopt;
    constexpr std::int64_t kLeast = std::numeric_limits<std::int32_t>::min();
    constexpr std::int64_t kMost = std::numeric_limits<std::int32_t>::max();
    const bool fits =
        value->is_number_unsigned()
            ? value->get<std::uint64_t>() <= static_cast<std::uint64_t>(kMost)
            : value->is_number_integer() && value->get<std::int64_t>() >= kLeast && value->get<std::int64_t>() <= kMost;
    if (!fits) refuse(key, *value, "an integer of 32 bits");
    return value->get<std::int32_t>();
}

std::optional<double> real_field(const nlohmann::json& object, std::string_view key) {
    const nlohmann::json* value = field(object, key);
    if (!value) return std::nullopt;
    if (!value->is_number()) refuse(key, *value, "a number");
    return value->get<double>();
}

std::optional<bool> boolean_field(const nlohmann::json& object, std::string_view key) {
    const nlohmann::json* value = field(object, key);
    if (!value) return std::nullopt;
    if (!value->is_boolean()) refuse(key, *value, "true or false");
    return value->get<bool>();
}

std::optional<std::string> text_field(const nlohmann::json& object, std::string_view key) {
    const nlohmann::json* value = field(object, key);
    if (!value) return std::nullopt;
    if (!value->is_string()) refuse(key, *value, "a string");
    return value->get<std::string>();
}

const nlohmann::json* rope_fields(const nlohmann::json& config) {
    for (const std::string_view key : {"rope_parameters", "rope_scaling"})
        if (const nlohmann::json* rope = field(config, key)) {
            if (!rope->is_object()) refuse(key, *rope, "an object");
            const nlohmann::json* of_full_blocks = field(*rope, "full_attention");
            if (!of_full_blocks) return rope;
            if (!of_full_blocks->is_object()) refuse("full_attention", *of_full_blocks, "an object");
            return of_full_blocks;
        }
    return nullptr;
}

std::string rope_type_of(const nlohmann::json& rope) {
    if (const auto type = text_field(rope, "rope_type")) return *type;
    return text_field(rope, "type").value_or("default");
}

double shortest_decimal(float value) {
    return std::stod(fmt::format("{}", value));
}

}  // namespace plasticity
