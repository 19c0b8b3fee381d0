#pragma once

// The 8-bit formats by their definition, code by code, apart from src/model/float8.cpp.

#include <cmath>
#include <cstdint>
#include <limits>
#include <string_view>

namespace plasticity::test {

/// (−1)^sign · 2^(exponent − bias) · (1 + mantissa / 2^bits), or 2^(1 − bias) · mantissa / 2^bits where exponent is 0.
inline double float8_by_definition(std::string_view dtype, std::uint8_t code) {
    constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();
    if (dtype == "F8_E8M0") return code == 255 ? kNaN : std::pow(2.0, code - 127.0);

    const bool is_e5m2 = dtype == "F8_E5M2";
    const int mantissa_bits = is_e5m2 ? 2 : 3, bias = is_e5m2 ? 15 : 7, largest_exponent = is_e5m2 ? 31 : 15;
    const int mantissa = code % (1 << mantissa_bits), exponent = code % 128 >> mantissa_bits;
    const double sign = code >= 128 ? -1 : 1, fraction = mantissa / std::pow(2.0, mantissa_bits);
    if (exponent == largest_exponent && is_e5m2)
        return mantissa == 0 ? sign * std::numeric_limits<double>::infinity() : kNaN;
    if (exponent == largest_exponent && mantissa == 7) return kNaN;
    return sign *
           (exponent == 0 ? std::pow(2.0, 1 - bias) * fraction : std::pow(2.0, exponent - bias) * (1 + fraction));
}

}  // namespace plasticity::test
