#include "quant/error_feedback.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <random>
#include <string>

#include "quant/block_quantizer.h"
#include "support/expect_error.h"
#include "support/square_gram.h"

namespace plasticity {
namespace {

using test::SquareGram;

constexpr std::int64_t kCols = 512;
constexpr std::size_t kRows = 70;  // a full set of lanes and some more

/// Σ x xᵀ of inputs that a few causes drive: what feedback lives on. Block-diagonal where `block` < kCols.
SquareGram correlated_gram(std::int64_t block = kCols) {
    constexpr std::size_t kCauses = 40, kTokens = 200;
    std::mt19937 generator(3);
    std::normal_distribution<float> normal;
    std::vector<float> mixing(kCauses * kCols);
    for (float& value : mixing) value = normal(generator);
    SquareGram gram{
        .width = kCols, .block = block, .values = std::vector<float>(static_cast<std::size_t>(kCols * block))};
    std::vector<float> causes(kCauses), input(kCols);
    for (std::size_t token = 0; token < kTokens; ++token) {
        for (float& value : causes) value = normal(generator);
        for (std::size_t col = 0; col < input.size(); ++col) {
            input[col] = 0.3f * normal(generator);
            for (std::size_t cause = 0; cause < kCauses; ++cause)
                input[col] += causes[cause] * mixing[cause * kCols + col];
        }
        for (std::int64_t row = 0; row < kCols; ++row)
            for (std::int64_t col = row / block * block; col < (row / block + 1) * block; ++col)
                gram.values[static_cast<std::size_t>(row * block + col % block)] +=
                    input[static_cast<std::size_t>(row)] * input[static_cast<std::size_t>(col)];
    }
    return gram;
}

std::vector<float> gaussian_rows(std::size_t n_rows) {
    std::mt19937 generator(5);
    std::normal_distribution<float> weight(0.0f, 0.05f);
    std::vector<float> rows(n_rows * kCols);
    for (float& value : rows) value = weight(generator);
    return rows;
}

std::vector<std::byte> quantized(ggml_type type, std::span<const float> rows) {
    const BlockQuantizer quantizer(type, kCols, {}, "test");
    std::vector<std::byte> bytes(rows.size() / kCols * quantizer.row_bytes());
    quantizer.quantize(rows, 0, bytes);
    return bytes;
}

/// e H eᵀ of one row, term by term.
double output_error(const SquareGram& gram, ggml_type type, std::span<const float> row, const std::byte* bytes) {
    std::vector<float> error(kCols);
    ggml_get_type_traits(type)->to_float(bytes, error.data(), kCols);
    for (std::size_t col = 0; col < error.size(); ++col) error[col] = row[col] - error[col];
    double sum = 0;
    for (std::int64_t a = 0; a < gram.width; ++a)
        for (std::int64_t b = a / gram.block * gram.block; b < (a / gram.block + 1) * gram.block; ++b)
            sum += double{error[static_cast<std::size_t>(a)]} * double{error[static_cast<std::size_t>(b)]} *
                   double{gram.values[static_cast<std::size_t>(a * gram.block + b % gram.block)]};
    return sum;
}

std::vector<ggml_type> served_types() {
    std::vector<ggml_type> types;
    for (int number = 0; number < GGML_TYPE_COUNT; ++number)
        if (ErrorFeedback::serves(static_cast<ggml_type>(number))) types.push_back(static_cast<ggml_type>(number));
    return types;
}

class FeedbackByType : public testing::TestWithParam<ggml_type> {};

TEST_P(FeedbackByType, ErrsLessInWhatRowsComputeAndSaysByHowMuch) {
    for (const std::int64_t block : {kCols, kCols / 2}) {
        const SquareGram gram = correlated_gram(block);
        const std::vector<float> rows = gaussian_rows(kRows);
        const std::vector<std::byte> before = quantized(GetParam(), rows);
        std::vector<std::byte> after = before;
        const ErrorFeedback feedback(GetParam(),
                                     std::make_shared<FeedbackFactor>(gram.blocks(), std::span<const std::int64_t>()));
        const FeedbackOutcome outcome = feedback.improve(rows, after);

        const std::size_t row_bytes = before.size() / kRows;
        double sum_before = 0, sum_after = 0;
        for (std::size_t row = 0; row < kRows; ++row) {
            const auto weights = std::span(rows).subspan(row * kCols, kCols);
            const double old_error = output_error(gram, GetParam(), weights, before.data() + row * row_bytes);
            const double new_error = output_error(gram, GetParam(), weights, after.data() + row * row_bytes);
            EXPECT_LE(new_error, old_error * (1 + 1e-3)) << row;
            sum_before += old_error;
            sum_after += new_error;
        }
        EXPECT_NEAR(outcome.error_before / sum_before, 1, 1e-3);
        EXPECT_NEAR(outcome.error_after / sum_after, 1, 2e-3);
        EXPECT_EQ(outcome.rows, static_cast<std::int64_t>(kRows));
        EXPECT_LT(sum_after, sum_before * 0.5);  // inputs of 40 causes in 512 channels leave much room
    }
}

TEST_P(FeedbackByType, ARowDoesNotDependOnThoseBesideIt) {
    const std::vector<float> rows = gaussian_rows(kRows);
    std::vector<std::byte> together = quantized(GetParam(), rows), alone = together;
    const ErrorFeedback feedback(
        GetParam(), std::make_shared<FeedbackFactor>(correlated_gram().blocks(), std::span<const std::int64_t>()));
    feedback.improve(rows, together);
    const std::size_t row_bytes = together.size() / kRows;
    for (const std::size_t row : {std::size_t{0}, std::size_t{63}, kRows - 1})
        feedback.improve(std::span(rows).subspan(row * kCols, kCols),
                         std::span(alone).subspan(row * row_bytes, row_bytes));
    for (const std::size_t row : {std::size_t{0}, std::size_t{63}, kRows - 1})
        EXPECT_TRUE(std::equal(alone.begin() + static_cast<std::ptrdiff_t>(row * row_bytes),
                               alone.begin() + static_cast<std::ptrdiff_t>((row + 1) * row_bytes),
                               together.begin() + static_cast<std::ptrdiff_t>(row * row_bytes)))
            << row;
}

TEST_P(FeedbackByType, HugeWeightsStayFinite) {
    std::vector<float> rows = gaussian_rows(2);
    for (std::size_t i = 0; i < rows.size(); i += 7) rows[i] = i % 2 == 0 ? 65000.0f : -65000.0f;
    std::vector<std::byte> bytes = quantized(GetParam(), rows);
    const ErrorFeedback feedback(
        GetParam(), std::make_shared<FeedbackFactor>(correlated_gram().blocks(), std::span<const std::int64_t>()));
    feedback.improve(rows, bytes);
    std::vector<float> back(rows.size());
    ggml_get_type_traits(GetParam())->to_float(bytes.data(), back.data(), std::ssize(back));
    for (const float value : back) EXPECT_TRUE(std::isfinite(value));
}

INSTANTIATE_TEST_SUITE_P(ErrorFeedback, FeedbackByType, testing::ValuesIn(served_types()),
                         [](const auto& instance) { return std::string(ggml_type_name(instance.param)); });

// One channel of the first block of 128 is left out, so that the second begins within a cell of four.
TEST(ErrorFeedback, LeavesPointsAloneThatSeveralBlocksOfTheGramMatrixWouldShare) {
    const SquareGram gram = correlated_gram(kCols / 4);
    std::vector<std::int64_t> kept;
    for (std::int64_t channel = 0; channel < kCols; ++channel)
        if (std::ssize(kept) < 256 && channel != 5) kept.push_back(channel);
    const std::vector<float> all = gaussian_rows(1);
    const std::span<const float> rows = std::span(all).first(kept.size());
    std::vector<std::byte> before(ggml_row_size(GGML_TYPE_IQ3_S, std::ssize(kept)));
    BlockQuantizer(GGML_TYPE_IQ3_S, std::ssize(kept), {}, "test").quantize(rows, 0, before);
    std::vector<std::byte> after = before;
    const ErrorFeedback feedback(GGML_TYPE_IQ3_S, std::make_shared<FeedbackFactor>(gram.blocks(), kept));
    const FeedbackOutcome outcome = feedback.improve(rows, after);
    EXPECT_EQ(after, before);
    EXPECT_EQ(outcome.rows_changed, 0);
    EXPECT_EQ(outcome.error_after, outcome.error_before);
    EXPECT_GT(outcome.error_before, 0);
}

TEST(FeedbackFactor, OfSomeChannelsIsThatOfTheSmallerGramMatrix) {
    const SquareGram gram = correlated_gram();
    std::vector<std::int64_t> kept;
    for (std::int64_t channel = 0; channel < kCols; ++channel)
        if (channel / 64 % 2 == 1) kept.push_back(channel);
    const auto n = std::ssize(kept);
    SquareGram smaller{.width = n, .block = n, .values = {}};
    for (const std::int64_t a : kept)
        for (const std::int64_t b : kept)
            smaller.values.push_back(gram.values[static_cast<std::size_t>(a * kCols + b)]);

    const FeedbackFactor some(gram.blocks(), kept), all(smaller.blocks(), {});
    ASSERT_EQ(some.columns(), static_cast<std::size_t>(n));
    EXPECT_TRUE(std::ranges::equal(some.column_weights(), all.column_weights()));
    for (std::size_t i = 0; i < some.panels().size(); ++i)
        EXPECT_EQ(some.coefficients(some.panels()[i], 0)[5], all.coefficients(all.panels()[i], 0)[5]);
}

TEST(FeedbackFactor, ChannelsOfZerosTakeNoFeedbackAndGiveNone) {
    const SquareGram gram = correlated_gram();
    std::vector<std::int64_t> padded;
    for (std::int64_t channel = 0; channel < kCols; ++channel) {
        padded.push_back(channel);
        if (channel % 256 == 255) padded.insert(padded.end(), 32, -1);
    }
    const FeedbackFactor with(gram.blocks(), padded), without(gram.blocks(), {});
    ASSERT_EQ(with.columns(), padded.size());
    const auto coefficient = [](const FeedbackFactor& factor, std::size_t row, std::size_t column) {
        const auto panel = std::ranges::find_if(factor.panels(), [&](const FeedbackFactor::Panel& candidate) {
            return column >= candidate.first_column && column < candidate.first_column + candidate.width;
        });
        return factor.coefficients(*panel, row)[column - panel->first_column];
    };
    for (std::size_t column = 0; column < padded.size(); ++column) {
        EXPECT_GT(with.column_weights()[column], 0);
        for (std::size_t row = 0; row < column; ++row) {
            if (padded[row] < 0 || padded[column] < 0) {
                ASSERT_EQ(coefficient(with, row, column), 0.0f) << row << " on " << column;
            } else {
                const double expected = coefficient(without, static_cast<std::size_t>(padded[row]),
                                                    static_cast<std::size_t>(padded[column]));
                ASSERT_NEAR(coefficient(with, row, column), expected, 1e-3 * std::fabs(expected) + 1e-4);
            }
        }
    }
}

TEST(FeedbackFactor, IsDampedMoreTheFewerTokensItIsOf) {
    SquareGram gram{.width = 2, .block = 2, .values = {3, 1, 1, 5}};
    const auto damping = [&](std::int64_t n_tokens, std::vector<std::int64_t> kept) {
        gram.n_tokens = n_tokens;
        return FeedbackFactor(gram.blocks(), kept).panels().front().damping;
    };
    EXPECT_FLOAT_EQ(damping(8, {}), 4 * 0.25f);
    EXPECT_FLOAT_EQ(damping(16, {}), 4 * 0.125f);
    EXPECT_FLOAT_EQ(damping(16, {1, -1}), 5 * 0.0625f);
    EXPECT_FLOAT_EQ(damping(1'000'000, {}), 4 * 0.01f);
}

TEST(FeedbackFactor, ChannelsThatNothingExcitesDoNoHarm) {
    SquareGram silent{.width = 32, .block = 32, .values = std::vector<float>(32 * 32, 0.0f)};
    const FeedbackFactor factor(silent.blocks(), {});
    for (const float weight : factor.column_weights()) EXPECT_GT(weight, 0);
}

TEST(FeedbackFactor, RefusesWhatIsNoGramMatrix) {
    SquareGram indefinite{.width = 2, .block = 2, .values = {1, -100000, -100000, 1}};
    test::expect_error(ErrorKind::kMalformed, {"not positive semi-definite"},
                       [&] { FeedbackFactor(indefinite.blocks(), {}); });
}

}  // namespace
}  // namespace plasticity
