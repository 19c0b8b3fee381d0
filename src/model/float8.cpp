#include "model/float8.h"

#include <ggml.h>

#include <cmath>
#include <cstdint>
#include <limits>

namespace plasticity {
namespace {

float value_of_e4m3(int code) {
    constexpr int kBias = 7, kMantissaBits = 3;
    const int exponent = (code >> kMantissaBits) & 15, mantissa = code & 7;
    if (exponent == 15 && mantissa == 7) return std::numeric_limits<float>::quiet_NaN();
    const int significand = exponent == 0 ? mantissa : mantissa + 8;
    const int power = (exponent == 0 ? 1 : exponent) - kBias - kMantissaBits;
    const float magnitude = std::ldexp(static_cast<float>(significand), power);
    return code & 0x80 ? -magnitude : magnitude;
}

/// F16 with its mantissa cut to two bits.
float value_of_e5m2(int code) {
    return ggml_fp16_to_fp32(static_cast<ggml_fp16_t>(code << 8));
}

float value_of_e8m0(int code) {
    return code == 0xFF ? std::numeric_limits<float>::quiet_NaN() : std::ldexp(1.0f, code - 127);
}

Float8Values tabulate(float (*value_of)(int)) {
    Float8Values values;
    for (int code = 0; code < 256; ++code) values[static_cast<std::size_t>(code)] = value_of(code);
    return values;
}

}  // namespace

const Float8Values* float8_values(std::string_view dtype) {
    static const Float8Values e4m3 = tabulate(value_of_e4m3), e5m2 = tabulate(value_of_e5m2),
                              e8m0 = tabulate(value_of_e8m0);
    if (dtype == "F8_E4M3") return &e4m3;
    if (dtype == "F8_E5M2") return &e5m2;
    if (dtype == "F8_E8M0") return &e8m0;
    return nullptr;
}

}  // namespace plasticity
