#include "artifact/json_text.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>

#include "core/error.h"

namespace plasticity {
namespace {

using Parsed = nlohmann::json;
using Json = nlohmann::ordered_json;

template <typename AnyJson>
std::string line_text(const AnyJson& value) {
    return value.dump(-1, ' ', false, AnyJson::error_handler_t::replace);
}

bool is_plain_array(const Json& value) {
    return value.is_array() &&
           std::none_of(value.begin(), value.end(), [](const Json& v) { return v.is_structured(); });
}

void append(const Json& value, std::size_t indent, std::string& out) {
    if (!value.is_structured() || value.empty()) {
        out += line_text(value);
        return;
    }
    const bool one_line = is_plain_array(value);
    const std::string line = one_line ? std::string() : fmt::format("\n{:{}}", "", indent + 2);
    out += value.is_object() ? '{' : '[';
    bool first = true;
    for (const auto& item : value.items()) {
        if (!first) out += one_line ? ", " : ",";
        first = false;
        out += line;
        if (value.is_object()) out += line_text(Json(item.key())) + ": ";
        append(item.value(), indent + 2, out);
    }
    if (!one_line) out += fmt::format("\n{:{}}", "", indent);
    out += value.is_object() ? '}' : ']';
}

[[noreturn]] void malformed_json(std::string_view where, std::string_view problem) {
    throw Error(ErrorKind::kMalformed, fmt::format("{}: {}", where, problem));
}

double finite_number(const Parsed& value, const ObjectReader& reader, std::string_view key) {
    if (!value.is_number()) reader.fail(key, fmt::format("holds a {}; expected a number", value.type_name()));
    const double number = value.get<double>();
    if (!std::isfinite(number)) reader.fail(key, "is not a finite number");
    return number;
}

}  // namespace

std::string json_text(const Json& value) {
    std::string out;
    append(value, 0, out);
    out += '\n';
    return out;
}

std::string json_line(const Json& value) {
    return line_text(value);
}

ObjectReader::ObjectReader(const Parsed& object, std::string where) : object_(object), where_(std::move(where)) {
    if (!object_.is_object())
        malformed_json(where_, fmt::format("got a JSON {}; expected an object", object_.type_name()));
}

void ObjectReader::fail(std::string_view key, std::string_view problem) const {
    malformed_json(where_, fmt::format("\"{}\" {}", key, problem));
}

bool ObjectReader::has(std::string_view key) const {
    return object_.contains(std::string(key));
}

const Parsed& ObjectReader::value(std::string_view key) {
    const auto found = object_.find(std::string(key));
    if (found == object_.end()) fail(key, "is missing");
    asked_.emplace(key);
    return *found;
}

std::int64_t ObjectReader::integer(std::string_view key, std::int64_t lowest, std::int64_t highest) {
    const Parsed& held = value(key);
    if (!held.is_number_integer()) fail(key, fmt::format("holds a {}; expected a whole number", held.type_name()));
    const bool too_big =
        held.is_number_unsigned() &&
        held.get<std::uint64_t>() > static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max());
    const std::int64_t number = too_big ? std::numeric_limits<std::int64_t>::max() : held.get<std::int64_t>();
    if (too_big || number < lowest || number > highest)
        fail(key, fmt::format("is {}; expected {} to {}", line_text(held), lowest, highest));
    return number;
}

double ObjectReader::number(std::string_view key) {
    return finite_number(value(key), *this, key);
}

double ObjectReader::amount(std::string_view key) {
    const double value = number(key);
    if (value < 0) fail(key, fmt::format("is {}; expected at least 0", value));
    return value;
}

bool ObjectReader::boolean(std::string_view key) {
    const Parsed& held = value(key);
    if (!held.is_boolean()) fail(key, fmt::format("holds a {}; expected true or false", held.type_name()));
    return held.get<bool>();
}

std::string ObjectReader::text(std::string_view key) {
    const Parsed& held = value(key);
    if (!held.is_string()) fail(key, fmt::format("holds a {}; expected text", held.type_name()));
    return held.get<std::string>();
}

std::vector<double> ObjectReader::numbers(std::string_view key) {
    const Parsed& held = value(key);
    if (!held.is_array()) fail(key, fmt::format("holds a {}; expected an array", held.type_name()));
    std::vector<double> result;
    result.reserve(held.size());
    for (const Parsed& item : held) result.push_back(finite_number(item, *this, key));
    return result;
}

std::vector<std::vector<double>> ObjectReader::number_rows(std::string_view key) {
    const Parsed& held = value(key);
    if (!held.is_array()) fail(key, fmt::format("holds a {}; expected an array of arrays", held.type_name()));
    std::vector<std::vector<double>> rows;
    rows.reserve(held.size());
    for (const Parsed& row : held) {
        if (!row.is_array()) fail(key, fmt::format("row {} is a {}; expected an array", rows.size(), row.type_name()));
        std::vector<double>& numbers = rows.emplace_back();
        numbers.reserve(row.size());
        for (const Parsed& item : row) numbers.push_back(finite_number(item, *this, key));
    }
    return rows;
}

std::vector<std::int32_t> ObjectReader::integers(std::string_view key, std::int32_t lowest) {
    const Parsed& held = value(key);
    if (!held.is_array()) fail(key, fmt::format("holds a {}; expected an array", held.type_name()));
    std::vector<std::int32_t> result;
    result.reserve(held.size());
    for (const Parsed& item : held) {
        const bool fits = item.is_number_integer() && item.get<double>() >= lowest &&
                          item.get<double>() <= std::numeric_limits<std::int32_t>::max();
        if (!fits) fail(key, fmt::format("holds {}; expected whole numbers from {} on", line_text(item), lowest));
        result.push_back(item.get<std::int32_t>());
    }
    return result;
}

void ObjectReader::require_schema(std::string_view key, int newest) {
    const std::int64_t version = integer(key, 0, std::numeric_limits<std::int32_t>::max());
    if (version < 1 || version > newest)
        fail(key, fmt::format("is {}; this program reads 1 to {}. Was the file written by a newer version?", version,
                              newest));
}

void ObjectReader::finish() const {
    std::vector<std::string> unknown;
    for (const auto& item : object_.items())
        if (!asked_.contains(item.key())) unknown.push_back(fmt::format("\"{}\"", item.key()));
    if (!unknown.empty())
        malformed_json(where_,
                       fmt::format("unknown keys {}; expected {}", fmt::join(unknown, ", "), fmt::join(asked_, ", ")));
}

}  // namespace plasticity
