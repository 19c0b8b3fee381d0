#pragma once

#include <concepts>
#include <cstdint>
#include <string>
#include <string_view>

namespace plasticity {

inline constexpr std::uint64_t kGb = 1'000'000'000;

/// "338263040", "12.9GB" (10⁹), "12GiB" (2³⁰), also k/M/T; case of the prefix ignored, no spaces needed.
/// @throws Error (kUsage) on anything else, negative or beyond 2⁶³
std::uint64_t parse_bytes(std::string_view text);

/// "338.3 MB": decimal units, four significant digits at most.
std::string format_bytes(std::uint64_t bytes);

/// "4.2 s", "3 min 07 s", "1 h 02 min".
std::string format_duration(double seconds);

/// 0 where no time has passed.
double per_second(std::integral auto count, double seconds) {
    return seconds > 0 ? static_cast<double>(count) / seconds : 0;
}

}  // namespace plasticity
