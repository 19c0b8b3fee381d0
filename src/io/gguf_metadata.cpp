#include "io/gguf_metadata.h"

#include <fmt/format.h>

#include <limits>
#include <type_traits>
#include <utility>

#include "core/error.h"
#include "io/gguf_types.h"
#include "io/printable.h"

namespace plasticity {
namespace {

[[noreturn]] void throw_absent(std::string_view key, std::string_view expected) {
    throw Error(ErrorKind::kMalformed,
                fmt::format("GGUF metadata: key {} is absent; expected {}", printable(key), expected));
}

[[noreturn]] void throw_type(std::string_view key, const GgufValue& value, std::string_view expected) {
    throw Error(ErrorKind::kMalformed, fmt::format("GGUF metadata: key {} is {}; expected {}", printable(key),
                                                   gguf_type_text(value), expected));
}

const GgufValue& require(const GgufMetadata& metadata, std::string_view key, std::string_view expected) {
    const GgufValue* value = metadata.find(key);
    if (value == nullptr) throw_absent(key, expected);
    return *value;
}

template <typename T>
constexpr bool kIsInteger = std::is_integral_v<T> && !std::is_same_v<T, bool>;

template <typename T>
std::int64_t to_signed(std::string_view key, T value) {
    if constexpr (std::is_same_v<T, std::uint64_t>)
        if (value > static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max()))
            throw Error(ErrorKind::kMalformed,
                        fmt::format("GGUF metadata: key {} is {}; expected at most 2^63 - 1", printable(key), value));
    return static_cast<std::int64_t>(value);
}

std::int64_t as_integer(std::string_view key, const GgufValue& value) {
    return std::visit(
        [&]<typename T>(const T& held) -> std::int64_t {
            if constexpr (kIsInteger<T>)
                return to_signed(key, held);
            else
                throw_type(key, value, "an integer");
        },
        value);
}

double as_real(std::string_view key, const GgufValue& value) {
    if (const auto* single = std::get_if<float>(&value)) return static_cast<double>(*single);
    if (const auto* wide = std::get_if<double>(&value)) return *wide;
    throw_type(key, value, "a float32 or float64");
}

std::vector<std::int64_t> as_integers(std::string_view key, const GgufValue& value, const GgufArray& array) {
    return std::visit(
        [&]<typename T>(const std::vector<T>& held) -> std::vector<std::int64_t> {
            if constexpr (kIsInteger<T>) {
                std::vector<std::int64_t> out;
                out.reserve(held.size());
                for (const T element : held) out.push_back(to_signed(key, element));
                return out;
            } else {
                throw_type(key, value, "an array of integers");
            }
        },
        array);
}

}  // namespace

void GgufMetadata::set(std::string key, GgufValue value) {
    const auto [place, is_new] = index_.try_emplace(key, entries_.size());
    if (is_new)
        entries_.emplace_back(std::move(key), std::move(value));
    else
        entries_[place->second].second = std::move(value);
}

void GgufMetadata::erase(std::string_view key) {
    const auto place = index_.find(key);
    if (place == index_.end()) return;
    const std::size_t removed = place->second;
    entries_.erase(entries_.begin() + static_cast<std::ptrdiff_t>(removed));
    index_.erase(place);
    for (auto& [other, position] : index_)
        if (position > removed) --position;
}

const GgufValue* GgufMetadata::find(std::string_view key) const {
    const auto place = index_.find(key);
    return place == index_.end() ? nullptr : &entries_[place->second].second;
}

std::int64_t GgufMetadata::integer(std::string_view key) const {
    return as_integer(key, require(*this, key, "an integer"));
}

std::int64_t GgufMetadata::integer_or(std::string_view key, std::int64_t fallback) const {
    const GgufValue* value = find(key);
    return value == nullptr ? fallback : as_integer(key, *value);
}

double GgufMetadata::real(std::string_view key) const {
    return as_real(key, require(*this, key, "a float32 or float64"));
}

double GgufMetadata::real_or(std::string_view key, double fallback) const {
    const GgufValue* value = find(key);
    return value == nullptr ? fallback : as_real(key, *value);
}

bool GgufMetadata::boolean_or(std::string_view key, bool fallback) const {
    const GgufValue* value = find(key);
    if (value == nullptr) return fallback;
    if (const bool* held = std::get_if<bool>(value)) return *held;
    throw_type(key, *value, "a boolean");
}

const std::string& GgufMetadata::text(std::string_view key) const {
    const GgufValue& value = require(*this, key, "a string");
    if (const auto* held = std::get_if<std::string>(&value)) return *held;
    throw_type(key, value, "a string");
}

std::string GgufMetadata::text_or(std::string_view key, std::string_view fallback) const {
    return contains(key) ? text(key) : std::string(fallback);
}

template <typename T>
const std::vector<T>* GgufMetadata::array(std::string_view key) const {
    const GgufValue* value = find(key);
    if (value == nullptr) return nullptr;
    if (const auto* array = std::get_if<GgufArray>(value))
        if (const auto* elements = std::get_if<std::vector<T>>(array)) return elements;
    throw_type(key, *value, gguf_type_text(GgufValue(GgufArray(std::vector<T>{}))));
}

template const std::vector<std::uint8_t>* GgufMetadata::array(std::string_view) const;
template const std::vector<std::int8_t>* GgufMetadata::array(std::string_view) const;
template const std::vector<std::uint16_t>* GgufMetadata::array(std::string_view) const;
template const std::vector<std::int16_t>* GgufMetadata::array(std::string_view) const;
template const std::vector<std::uint32_t>* GgufMetadata::array(std::string_view) const;
template const std::vector<std::int32_t>* GgufMetadata::array(std::string_view) const;
template const std::vector<float>* GgufMetadata::array(std::string_view) const;
template const std::vector<bool>* GgufMetadata::array(std::string_view) const;
template const std::vector<std::string>* GgufMetadata::array(std::string_view) const;
template const std::vector<std::uint64_t>* GgufMetadata::array(std::string_view) const;
template const std::vector<std::int64_t>* GgufMetadata::array(std::string_view) const;
template const std::vector<double>* GgufMetadata::array(std::string_view) const;

std::vector<std::int64_t> GgufMetadata::integers_per_layer(std::string_view key, std::size_t n) const {
    const GgufValue& value = require(*this, key, fmt::format("an integer or an array of {} integers", n));
    const auto* array = std::get_if<GgufArray>(&value);
    if (array == nullptr) return std::vector<std::int64_t>(n, as_integer(key, value));

    std::vector<std::int64_t> counts = as_integers(key, value, *array);
    if (counts.size() != n)
        throw Error(ErrorKind::kMalformed,
                    fmt::format("GGUF metadata: key {} holds {} integers; expected one for each of "
                                "{} layers",
                                printable(key), counts.size(), n));
    return counts;
}

}  // namespace plasticity
