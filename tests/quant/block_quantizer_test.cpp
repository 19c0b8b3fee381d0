#include "quant/block_quantizer.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <random>
#include <string>
#include <string_view>

#include "core/error.h"
#include "core/parallel.h"
#include "quant/block_check.h"

namespace plasticity {
namespace {

constexpr std::int64_t kCols = 512;

std::vector<float> random_rows(std::int64_t n_rows, std::int64_t cols = kCols) {
    std::mt19937 generator(7);
    std::normal_distribution<float> weight(0.0f, 0.05f);
    std::vector<float> rows(static_cast<std::size_t>(n_rows * cols));
    for (float& value : rows) value = weight(generator);
    return rows;
}

std::vector<float> rising_importance(std::int64_t cols = kCols) {
    std::vector<float> importance(static_cast<std::size_t>(cols));
    for (std::size_t i = 0; i < importance.size(); ++i) importance[i] = 0.01f + static_cast<float>(i % 37);
    return importance;
}

std::vector<std::byte> quantized(const BlockQuantizer& quantizer, std::span<const float> rows, std::int64_t cols) {
    std::vector<std::byte> out(rows.size() / static_cast<std::size_t>(cols) * quantizer.row_bytes());
    quantizer.quantize(rows, 0, out);
    return out;
}

std::vector<float> dequantized(ggml_type type, std::span<const std::byte> bytes, std::size_t count) {
    std::vector<float> values(count);
    if (type == GGML_TYPE_F32)
        std::copy_n(reinterpret_cast<const float*>(bytes.data()), count, values.begin());
    else
        ggml_get_type_traits(type)->to_float(bytes.data(), values.data(), static_cast<std::int64_t>(count));
    return values;
}

/// Root of the mean squared error over that of the weights.
double relative_error(std::span<const float> expected, std::span<const float> got) {
    double error = 0, norm = 0;
    for (std::size_t i = 0; i < expected.size(); ++i) {
        error += std::pow(double{expected[i]} - got[i], 2);
        norm += std::pow(double{expected[i]}, 2);
    }
    return std::sqrt(error / norm);
}

std::string error_of(const std::function<void()>& action, ErrorKind kind) {
    try {
        action();
    } catch (const Error& error) {
        EXPECT_EQ(error.kind(), kind) << error.what();
        return error.what();
    }
    ADD_FAILURE() << "nothing was thrown";
    return {};
}

struct Precision {
    ggml_type type;
    double worst;  ///< relative error of Gaussian weights, some 20 % above what the format's bits allow
};

class EveryType : public testing::TestWithParam<Precision> {};

TEST_P(EveryType, ComesBackAsCloseAsItsBitsAllow) {
    const auto [type, worst] = GetParam();
    const auto rows = random_rows(4);
    for (const auto& importance : {std::vector<float>{}, std::vector<float>(kCols, 2.0f)}) {
        const BlockQuantizer quantizer(type, kCols, importance, "w");
        const auto bytes = quantized(quantizer, rows, kCols);
        EXPECT_LE(relative_error(rows, dequantized(type, bytes, rows.size())), worst) << ggml_type_name(type);
        EXPECT_EQ(first_non_finite(type, bytes), std::nullopt);
    }
}

TEST_P(EveryType, DoesNotDependOnTilesOrThreads) {
    const ggml_type type = GetParam().type;
    constexpr std::int64_t kRows = 13;
    const auto rows = random_rows(kRows);
    const BlockQuantizer quantizer(type, kCols, rising_importance(), "w");
    const auto whole = quantized(quantizer, rows, kCols);

    std::vector<std::byte> by_rows(whole.size());
    parallel_for(3, kRows, [&](std::size_t row) {
        quantizer.quantize(std::span(rows).subspan(row * kCols, kCols), static_cast<std::int64_t>(row),
                           std::span(by_rows).subspan(row * quantizer.row_bytes(), quantizer.row_bytes()));
    });
    EXPECT_EQ(by_rows, whole);
}

TEST_P(EveryType, SurvivesZerosAndChannelsWithoutImportance) {
    const ggml_type type = GetParam().type;
    auto rows = random_rows(2);
    std::fill_n(rows.begin() + kCols, kCols / 2, 0.0f);
    auto importance = rising_importance();
    std::fill_n(importance.begin(), 300, 0.0f);
    for (const auto& weights : {importance, std::vector<float>(kCols, 0.0f)}) {
        const auto bytes = quantized(BlockQuantizer(type, kCols, weights, "w"), rows, kCols);
        EXPECT_EQ(first_non_finite(type, bytes), std::nullopt) << ggml_type_name(type);
    }
}

INSTANTIATE_TEST_SUITE_P(
    BlockQuantizer, EveryType,
    testing::Values(Precision{GGML_TYPE_F32, 0}, Precision{GGML_TYPE_F16, 3e-4}, Precision{GGML_TYPE_BF16, 2.5e-3},
                    Precision{GGML_TYPE_Q8_0, 0.007}, Precision{GGML_TYPE_Q6_K, 0.025}, Precision{GGML_TYPE_Q5_0, 0.06},
                    Precision{GGML_TYPE_Q5_1, 0.06}, Precision{GGML_TYPE_Q5_K, 0.05}, Precision{GGML_TYPE_Q4_0, 0.13},
                    Precision{GGML_TYPE_Q4_1, 0.1}, Precision{GGML_TYPE_Q4_K, 0.1}, Precision{GGML_TYPE_IQ4_NL, 0.1},
                    Precision{GGML_TYPE_IQ4_XS, 0.1}, Precision{GGML_TYPE_Q3_K, 0.2}, Precision{GGML_TYPE_IQ3_S, 0.17},
                    Precision{GGML_TYPE_IQ3_XXS, 0.23}, Precision{GGML_TYPE_Q2_K, 0.35}),
    [](const auto& type_info) { return std::string(ggml_type_name(type_info.param.type)); });

TEST(BlockQuantizer, ImportanceMovesErrorToChannelsThatMatterLess) {
    const auto rows = random_rows(8);
    std::vector<float> importance(kCols, 0.001f);
    for (std::size_t channel = 0; channel < kCols; channel += 4) importance[channel] = 10.0f;
    const auto error_where_it_matters = [&](std::span<const float> weights) {
        const BlockQuantizer quantizer(GGML_TYPE_Q4_K, kCols, weights, "w");
        const auto got = dequantized(GGML_TYPE_Q4_K, quantized(quantizer, rows, kCols), rows.size());
        double sum = 0;
        for (std::size_t i = 0; i < rows.size(); i += 4) sum += std::pow(double{rows[i]} - got[i], 2);
        return sum;
    };
    EXPECT_LT(error_where_it_matters(importance), 0.7 * error_where_it_matters({}));
}

TEST(BlockQuantizer, NamesTheFirstWeightThatIsNotFinite) {
    auto rows = random_rows(3);
    rows[kCols + 17] = std::numeric_limits<float>::quiet_NaN();
    rows[2 * kCols] = -std::numeric_limits<float>::infinity();
    for (const ggml_type type : {GGML_TYPE_F32, GGML_TYPE_Q4_0}) {
        const BlockQuantizer quantizer(type, kCols, {}, "blk.0.attn_q.weight");
        const std::string message = error_of([&] { quantized(quantizer, rows, kCols); }, ErrorKind::kMalformed);
        EXPECT_NE(message.find("blk.0.attn_q.weight at row 1, column 17 is nan"), std::string::npos) << message;
    }
}

TEST(BlockQuantizer, RefusesWhatSixteenBitScalesCannotHold) {
    auto rows = random_rows(1);
    rows[5] = -70000.0f;
    for (const ggml_type type : {GGML_TYPE_F16, GGML_TYPE_Q8_0, GGML_TYPE_Q4_K}) {
        const BlockQuantizer quantizer(type, kCols, {}, "w");
        const std::string message = error_of([&] { quantized(quantizer, rows, kCols); }, ErrorKind::kMalformed);
        EXPECT_NE(message.find("column 5 is -70000"), std::string::npos) << message;
    }
    for (const ggml_type type : {GGML_TYPE_F32, GGML_TYPE_BF16})
        EXPECT_NO_THROW(quantized(BlockQuantizer(type, kCols, {}, "w"), rows, kCols));
    rows[5] = 65504.0f;
    EXPECT_EQ(first_non_finite(GGML_TYPE_F16, quantized(BlockQuantizer(GGML_TYPE_F16, kCols, {}, "w"), rows, kCols)),
              std::nullopt);
}

TEST(BlockQuantizer, RefusesWhatDoesNotFit) {
    error_of([] { BlockQuantizer(GGML_TYPE_Q4_K, 576, {}, "w"); }, ErrorKind::kMalformed);
    error_of([] { BlockQuantizer(GGML_TYPE_Q4_K, 512, std::vector<float>(256), "w"); }, ErrorKind::kMalformed);
    error_of([] { BlockQuantizer(GGML_TYPE_Q4_0, 32, std::vector<float>(32, -1.0f), "w"); }, ErrorKind::kMalformed);
    error_of([] { BlockQuantizer(GGML_TYPE_Q4_0, 32, std::vector<float>(32, NAN), "w"); }, ErrorKind::kMalformed);
    for (const ggml_type type : {GGML_TYPE_I32, GGML_TYPE_F64, GGML_TYPE_Q8_1, GGML_TYPE_Q8_K})
        error_of([=] { BlockQuantizer(type, 256, {}, "w"); }, ErrorKind::kUsage);
}

TEST(BlockQuantizer, WeighsUniformlyWhereATypeCannotDoWithoutWeights) {
    const auto rows = random_rows(1);
    const auto plain = quantized(BlockQuantizer(GGML_TYPE_IQ2_XXS, kCols, {}, "w"), rows, kCols);
    const std::vector<float> uniform(kCols, 1.0f);
    EXPECT_EQ(plain, quantized(BlockQuantizer(GGML_TYPE_IQ2_XXS, kCols, uniform, "w"), rows, kCols));
    EXPECT_LE(relative_error(rows, dequantized(GGML_TYPE_IQ2_XXS, plain, rows.size())), 0.45);
}

TEST(BlockQuantizer, EveryTypeItAcceptsHasAQuantizer) {
    for (int number = 0; number < GGML_TYPE_COUNT; ++number) {
        const auto type = static_cast<ggml_type>(number);
        if (ggml_type_size(type) == 0 || !quantizes_to(type)) continue;
        const std::string_view name = ggml_type_name(type);
        if (name.starts_with("iq1") || name.starts_with("iq2")) continue;  // ggml takes seconds to build their grids
        const auto rows = random_rows(1, 256);
        EXPECT_EQ(quantized(BlockQuantizer(type, 256, {}, "w"), rows, 256).size(), ggml_row_size(type, 256));
    }
}

}  // namespace
}  // namespace plasticity
