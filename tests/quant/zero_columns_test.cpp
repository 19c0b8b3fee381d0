// Columns of zeros that pad a row: what comes back, by type.

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <random>

#include "artifact/padding.h"
#include "quant/block_quantizer.h"
#include "quant/own_quantizers.h"

namespace plasticity {
namespace {

constexpr std::int64_t kCols = 1024;
constexpr std::int64_t kRows = 2;

std::vector<ggml_type> all_types() {
    std::vector<ggml_type> types;
    for (int type = 0; type < GGML_TYPE_COUNT; ++type)
        if (quantizes_to(static_cast<ggml_type>(type)) && kCols % ggml_blck_size(static_cast<ggml_type>(type)) == 0)
            types.push_back(static_cast<ggml_type>(type));
    return types;
}

/// Rows of Gaussian weights whose columns from `boundary` on are zeros.
std::vector<float> padded_rows(std::int64_t boundary) {
    std::mt19937 random(7);
    std::normal_distribution<float> gaussian(0, 0.02f);
    std::vector<float> rows(static_cast<std::size_t>(kRows * kCols));
    for (std::size_t i = 0; i < rows.size(); ++i)
        if (static_cast<std::int64_t>(i) % kCols < boundary) rows[i] = gaussian(random);
    return rows;
}

std::vector<float> there_and_back(ggml_type type, const std::vector<float>& rows, std::span<const float> importance) {
    const BlockQuantizer quantizer(type, kCols, importance, "w");
    std::vector<std::byte> stored(static_cast<std::size_t>(kRows) * quantizer.row_bytes());
    quantizer.quantize(rows, 0, stored);
    std::vector<float> back(rows.size());
    if (type == GGML_TYPE_F32)
        std::copy_n(reinterpret_cast<const float*>(stored.data()), back.size(), back.begin());
    else
        ggml_get_type_traits(type)->to_float(stored.data(), back.data(), std::ssize(back));
    return back;
}

class ZeroColumns : public testing::TestWithParam<ggml_type> {};

TEST_P(ZeroColumns, ComeBackAsZerosWhereTheTypeKeepsThem) {
    for (const std::int64_t boundary : {896, 576, 768}) {
        const std::vector<float> rows = padded_rows(boundary);
        std::vector<float> importance(kCols, 0.0f);
        for (std::int64_t col = 0; col < boundary; ++col)
            importance[static_cast<std::size_t>(col)] = 0.5f + static_cast<float>(col % 7);
        for (const auto& weights : {std::vector<float>{}, importance}) {
            const std::vector<float> back = there_and_back(GetParam(), rows, weights);
            for (std::size_t i = 0; i < back.size(); ++i) {
                ASSERT_TRUE(std::isfinite(back[i]));
                if (static_cast<std::int64_t>(i) % kCols >= boundary && keeps_zero_columns(GetParam(), boundary)) {
                    ASSERT_EQ(back[i], 0.0f) << "column " << i % kCols << " from " << boundary << " on";
                }
            }
        }
    }
}

/// What stands for padding where stored blocks are copied.
TEST_P(ZeroColumns, AreWhatZeroBytesStandFor) {
    const ggml_type type = GetParam();
    if (type == GGML_TYPE_F32) return;
    const std::vector<std::byte> stored(ggml_row_size(type, kCols), std::byte{0});
    std::vector<float> back(kCols, 1.0f);
    ggml_get_type_traits(type)->to_float(stored.data(), back.data(), kCols);
    EXPECT_TRUE(std::ranges::all_of(back, [](float value) { return value == 0.0f; }));
}

INSTANTIATE_TEST_SUITE_P(All, ZeroColumns, testing::ValuesIn(all_types()),
                         [](const auto& instance) { return std::string(ggml_type_name(instance.param)); });

}  // namespace
}  // namespace plasticity
