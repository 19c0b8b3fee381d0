#include "io/dequantize.h"

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <cstdint>
#include <vector>

namespace plasticity {
namespace {

constexpr std::size_t kHalves = std::size_t{1} << 16;

std::vector<std::uint16_t> every_half() {
    std::vector<std::uint16_t> halves(kHalves);
    for (std::size_t bits = 0; bits < kHalves; ++bits) halves[bits] = static_cast<std::uint16_t>(bits);
    return halves;
}

/// IEEE 754 binary16 by its definition.
double half_by_definition(std::uint16_t bits) {
    const int exponent = bits >> 10 & 31, fraction = bits & 1023;
    const double magnitude = exponent == 0 ? std::ldexp(fraction, -24) : std::ldexp(1024 + fraction, exponent - 25);
    return bits >> 15 ? -magnitude : magnitude;
}

std::vector<float> dequantized(ggml_type type, std::span<const std::byte> stored, std::size_t n) {
    std::vector<float> values(n);
    dequantize(type, stored, values);
    return values;
}

TEST(Dequantize, GivesEveryHalfItsValue) {
    const auto halves = every_half();
    const auto values = dequantized(GGML_TYPE_F16, std::as_bytes(std::span(halves)), kHalves);
    for (const std::uint16_t bits : halves) {
        const bool is_finite = (bits >> 10 & 31) != 31;
        if (is_finite) {
            ASSERT_EQ(values[bits], half_by_definition(bits)) << bits;
            ASSERT_EQ(std::signbit(values[bits]), bits >> 15 != 0) << bits;  // of zero too
        } else {
            ASSERT_FALSE(std::isfinite(values[bits])) << bits;
            ASSERT_EQ(std::isnan(values[bits]), (bits & 1023) != 0) << bits;
        }
    }
}

TEST(Dequantize, TakesBf16AsTheUpperHalfOfAnF32) {
    const auto halves = every_half();
    const auto values = dequantized(GGML_TYPE_BF16, std::as_bytes(std::span(halves)), kHalves);
    for (const std::uint16_t bits : halves)
        ASSERT_EQ(std::bit_cast<std::uint32_t>(values[bits]), std::uint32_t{bits} << 16) << bits;
}

TEST(Dequantize, CopiesF32) {
    const std::vector<float> stored{1.5f, -0.0f, 3e38f};
    EXPECT_EQ(dequantized(GGML_TYPE_F32, std::as_bytes(std::span(stored)), stored.size()), stored);
}

TEST(Dequantize, MultipliesCodesByTheirBlocksScale) {
    std::vector<std::uint8_t> block(ggml_row_size(GGML_TYPE_Q8_0, 32));
    block[1] = 0x38;  // F16: 0.5
    for (int i = 0; i < 32; ++i) block[static_cast<std::size_t>(2 + i)] = static_cast<std::uint8_t>(i - 16);
    const auto values = dequantized(GGML_TYPE_Q8_0, std::as_bytes(std::span(block)), 32);
    for (int i = 0; i < 32; ++i) EXPECT_EQ(values[static_cast<std::size_t>(i)], 0.5f * static_cast<float>(i - 16));
}

TEST(Dequantize, GivesAsManyAsAreWantedOfMore) {
    const std::vector<std::uint16_t> stored{0x3C00, 0x4000, 0x4200};  // 1, 2, 3
    EXPECT_EQ(dequantized(GGML_TYPE_F16, std::as_bytes(std::span(stored)), 2), (std::vector{1.0f, 2.0f}));
}

}  // namespace
}  // namespace plasticity
