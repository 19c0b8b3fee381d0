#include "core/units.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <limits>
#include <optional>
#include <string>

#include "core/checked.h"
#include "core/error.h"

namespace plasticity {
namespace {

constexpr std::uint64_t kMaxBytes = std::numeric_limits<std::int64_t>::max();

[[noreturn]] void throw_size(std::string_view text, std::string_view problem) {
    throw Error(
        ErrorKind::kUsage,
        fmt::format("size '{}': {}; expected bytes, or a number with a unit such as 12.9GB (10^9) or 12GiB (2^30)",
                    text, problem));
}

/// "", "B", "k", "kB", "KiB", … → the factor
std::optional<std::uint64_t> unit_factor(std::string_view unit) {
    std::string name(unit);
    std::transform(name.begin(), name.end(), name.begin(),
                   [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; });
    if (name.empty() || name == "b") return 1;

    const std::size_t power = std::string_view("kmgt").find(name.front());
    if (power == std::string_view::npos) return std::nullopt;
    const std::string rest = name.substr(1);
    if (rest == "ib") return std::uint64_t{1} << (10 * (power + 1));
    if (!rest.empty() && rest != "b") return std::nullopt;
    std::uint64_t factor = 1000;
    for (std::size_t i = 0; i < power; ++i) factor *= 1000;
    return factor;
}

}  // namespace

std::uint64_t parse_bytes(std::string_view text) {
    const std::size_t digits_end = std::min(text.find_first_not_of("0123456789."), text.size());
    const std::string_view number = text.substr(0, digits_end);
    std::string_view unit = text.substr(digits_end);
    while (!unit.empty() && unit.front() == ' ') unit.remove_prefix(1);
    if (number.empty()) throw_size(text, "does not start with a number");
    const auto factor = unit_factor(unit);
    if (!factor) throw_size(text, "unknown unit");

    const char* const end = number.data() + number.size();
    std::uint64_t whole = 0;  // integers stay exact beyond 2^53
    if (const auto [stop, error] = std::from_chars(number.data(), end, whole); error == std::errc{} && stop == end) {
        const auto bytes = checked_multiply(whole, *factor);
        if (!bytes || *bytes > kMaxBytes) throw_size(text, "2^63 or more");
        return *bytes;
    }
    double value = 0;
    const auto [stop, error] = std::from_chars(number.data(), end, value, std::chars_format::fixed);
    if (error == std::errc::result_out_of_range) throw_size(text, "2^63 or more");
    if (error != std::errc{} || stop != end) throw_size(text, "not a number");
    if (unit.empty() && value != std::floor(value)) throw_size(text, "a part of a byte");
    const double bytes = std::round(value * static_cast<double>(*factor));
    if (bytes >= 0x1p63) throw_size(text, "2^63 or more");
    return static_cast<std::uint64_t>(bytes);
}

std::string format_bytes(std::uint64_t bytes) {
    if (bytes < 1000) return fmt::format("{} B", bytes);
    constexpr std::array<const char*, 6> kUnits{"kB", "MB", "GB", "TB", "PB", "EB"};
    double value = static_cast<double>(bytes) / 1000;
    std::size_t unit = 0;
    while (value >= 999.95 && unit + 1 < kUnits.size()) {  // what would print as 1000.0
        value /= 1000;
        ++unit;
    }
    return fmt::format("{:.{}f} {}", value, value < 9.9995 ? 2 : 1, kUnits[unit]);
}

std::string format_duration(double seconds) {
    if (!std::isfinite(seconds) || seconds < 0) return "?";
    if (seconds < 59.95) return fmt::format("{:.1f} s", seconds);
    if (seconds >= 1e9) return fmt::format("{:.0f} h", seconds / 3600);
    const auto whole = static_cast<std::int64_t>(std::llround(seconds));
    if (whole < 3600) return fmt::format("{} min {:02} s", whole / 60, whole % 60);
    const std::int64_t minutes = (whole + 30) / 60;
    return fmt::format("{} h {:02} min", minutes / 60, minutes % 60);
}

}  // namespace plasticity
