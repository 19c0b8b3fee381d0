#include "quant/scaled_rows.h"

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "core/error.h"
#include "io/dequantize.h"
#include "support/tiny_model.h"

namespace plasticity {
namespace {

constexpr std::int64_t kColumns = 512;

std::vector<std::byte> quantised_row(ggml_type type) {
    const std::vector<float> values = test::uniform_stream(ggml_type_name(type), kColumns), ones(kColumns, 1.0f);
    std::vector<std::byte> row(ggml_row_size(type, kColumns));
    ggml_quantize_chunk(type, values.data(), row.data(), 0, 1, kColumns, ones.data());
    return row;
}

std::vector<float> values_of_row(ggml_type type, std::span<const std::byte> row) {
    std::vector<float> values(kColumns);
    dequantize(type, row, values);
    return values;
}

class ScaledRows : public testing::TestWithParam<ggml_type> {};

TEST_P(ScaledRows, StandForMultiplesOfWhatTheyWere) {
    const std::vector<std::byte> before = quantised_row(GetParam());
    const std::vector<float> start = values_of_row(GetParam(), before);
    ASSERT_TRUE(scales_in_place(GetParam()));
    for (const float factor : {1.0f, 2.0f, 0.5f, 1.013f}) {
        std::vector<std::byte> row = before;
        scale_rows(GetParam(), row, factor);
        const std::vector<float> scaled = values_of_row(GetParam(), row);
        float largest = 0;
        for (const float value : start) largest = std::max(largest, std::fabs(value));
        // A power of two is exact; else scales are rounded to 11 bits, or all there is to 8 in BF16.
        const float rounding = factor == 1.013f ? largest * (GetParam() == GGML_TYPE_BF16 ? 0x1p-8f : 0x1p-10f) : 0.0f;
        for (std::size_t i = 0; i < scaled.size(); ++i)
            ASSERT_NEAR(scaled[i], factor * start[i], rounding) << i << " by " << factor;
    }
}

INSTANTIATE_TEST_SUITE_P(Types, ScaledRows,
                         testing::Values(GGML_TYPE_F32, GGML_TYPE_F16, GGML_TYPE_BF16, GGML_TYPE_Q4_0, GGML_TYPE_Q4_1,
                                         GGML_TYPE_Q5_0, GGML_TYPE_Q5_1, GGML_TYPE_Q8_0, GGML_TYPE_Q2_K, GGML_TYPE_Q3_K,
                                         GGML_TYPE_Q4_K, GGML_TYPE_Q5_K, GGML_TYPE_Q6_K, GGML_TYPE_IQ4_NL,
                                         GGML_TYPE_IQ4_XS, GGML_TYPE_IQ3_S, GGML_TYPE_IQ3_XXS, GGML_TYPE_IQ2_S,
                                         GGML_TYPE_IQ2_XS, GGML_TYPE_IQ2_XXS),
                         [](const auto& type) { return std::string(ggml_type_name(type.param)); });

TEST(ScaledRows, TypesWithoutSuchScalesAreRefused) {
    std::vector<std::byte> bytes(ggml_row_size(GGML_TYPE_IQ1_M, 256));
    EXPECT_FALSE(scales_in_place(GGML_TYPE_IQ1_M));
    EXPECT_THROW(scale_rows(GGML_TYPE_IQ1_M, bytes, 1.0f), Error);
    EXPECT_THROW(scale_rows(GGML_TYPE_Q4_K, std::span(bytes).first(55), 1.0f), Error);  // 144 bytes a block
}

}  // namespace
}  // namespace plasticity
