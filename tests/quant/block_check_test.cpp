#include "quant/block_check.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <limits>
#include <vector>

#include "core/error.h"

namespace plasticity {
namespace {

constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
constexpr float kInfinity = std::numeric_limits<float>::infinity();

TEST(FirstBeyond, FindsTheFirstOfAnyKindAnywhere) {
    for (const std::size_t at : {0, 1, 4095, 4096, 9000})
        for (const float bad : {kNan, -kNan, kInfinity, -kInfinity}) {
            std::vector<float> values(9001, std::numeric_limits<float>::max());
            EXPECT_EQ(first_non_finite(values), std::nullopt);
            values[at] = bad;
            values[9000] = kNan;
            EXPECT_EQ(first_non_finite(values), static_cast<std::int64_t>(at));
        }
    EXPECT_EQ(first_non_finite(std::span<const float>{}), std::nullopt);
}

TEST(FirstBeyond, TakesTheLimitItselfAsWithin) {
    const std::vector<float> values{0.0f, -2.0f, 2.0f, -2.5f};
    EXPECT_EQ(first_beyond(values, 2.0f), 3);
    EXPECT_EQ(first_beyond(values, 2.5f), std::nullopt);
    EXPECT_EQ(first_beyond(values, 0.0f), 1);
}

/// Stored bytes of `n_blocks` blocks whose block `broken` starts with the F16 `scale`.
std::vector<std::byte> blocks_with_scale(ggml_type type, std::size_t n_blocks, std::size_t broken,
                                         std::uint16_t scale) {
    std::vector<std::byte> bytes(n_blocks * ggml_type_size(type));
    std::fill(bytes.begin(), bytes.end(), std::byte{0x11});
    std::memcpy(bytes.data() + broken * ggml_type_size(type), &scale, sizeof scale);
    return bytes;
}

constexpr std::uint16_t kHalfNan = 0x7e00, kHalfInfinity = 0x7c00, kHalfOne = 0x3c00;

TEST(FirstNonFinite, FindsABrokenScaleInTypesThatBeginWithIt) {
    for (const ggml_type type : {GGML_TYPE_F16, GGML_TYPE_Q4_0, GGML_TYPE_Q4_1, GGML_TYPE_Q5_0, GGML_TYPE_Q8_0,
                                 GGML_TYPE_Q4_K, GGML_TYPE_Q5_K, GGML_TYPE_IQ4_NL, GGML_TYPE_IQ3_S})
        for (const std::uint16_t scale : {kHalfNan, kHalfInfinity}) {
            EXPECT_EQ(first_non_finite(type, blocks_with_scale(type, 300, 137, kHalfOne)), std::nullopt)
                << ggml_type_name(type);
            const auto bad = first_non_finite(type, blocks_with_scale(type, 300, 137, scale));
            ASSERT_TRUE(bad) << ggml_type_name(type);
            EXPECT_EQ(*bad / ggml_blck_size(type), 137) << ggml_type_name(type);
        }
}

TEST(FirstNonFinite, ReadsF32BF16AndF64) {
    const std::vector<float> floats{1, 2, kNan};
    EXPECT_EQ(first_non_finite(GGML_TYPE_F32, std::as_bytes(std::span(floats))), 2);
    const std::vector<std::uint16_t> brain{0x3f80, 0x7f80};
    EXPECT_EQ(first_non_finite(GGML_TYPE_BF16, std::as_bytes(std::span(brain))), 1);
    const std::vector<double> doubles{1e300, -HUGE_VAL};
    EXPECT_EQ(first_non_finite(GGML_TYPE_F64, std::as_bytes(std::span(doubles))), 1);
}

TEST(FirstNonFinite, FindsNothingInIntegers) {
    const std::vector<std::uint8_t> bytes(64, 0xff);
    EXPECT_EQ(first_non_finite(GGML_TYPE_I32, std::as_bytes(std::span(bytes))), std::nullopt);
}

TEST(FirstNonFinite, RefusesPartOfABlock) {
    EXPECT_THROW(first_non_finite(GGML_TYPE_Q4_0, std::vector<std::byte>(17)), Error);
}

}  // namespace
}  // namespace plasticity
