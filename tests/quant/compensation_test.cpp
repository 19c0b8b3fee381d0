#include "quant/compensation.h"

#include <gtest/gtest.h>

#include <cmath>
#include <random>

#include "core/error.h"
#include "support/square_gram.h"

namespace plasticity {
namespace {

using test::square_gram;
using test::SquareGram;

constexpr std::int64_t kWidth = 6;
const std::vector<std::int64_t> kKept{0, 2, 3, 5};

/// Inputs whose channels depend on one another, [n][kWidth].
std::vector<double> correlated_inputs(std::size_t n) {
    std::mt19937 random(1);
    std::normal_distribution<double> normal;
    std::vector<double> inputs;
    for (std::size_t token = 0; token < n; ++token) {
        const double a = normal(random), b = normal(random), c = normal(random), d = normal(random);
        for (const double x :
             {a, 0.7 * a - 0.4 * b + 0.1 * normal(random), b, c, 0.5 * c + b + 0.2 * normal(random), d})
            inputs.push_back(x);
    }
    return inputs;
}

const std::vector<float> kRow{0.3f, -1.2f, 0.5f, 2.0f, 0.9f, -0.4f};

/// Σ over tokens of (w_S′ · x_S − w · x)²
double error_of(const std::vector<double>& inputs, const std::vector<float>& kept_weights) {
    double error = 0;
    for (std::size_t token = 0; token < inputs.size(); token += kWidth) {
        double difference = 0;
        for (std::size_t i = 0; i < kWidth; ++i) difference -= double{kRow[i]} * inputs[token + i];
        for (std::size_t s = 0; s < kKept.size(); ++s)
            difference += double{kept_weights[s]} * inputs[token + static_cast<std::size_t>(kKept[s])];
        error += difference * difference;
    }
    return error;
}

std::vector<float> compensated(const SquareGram& gram) {
    std::vector<float> out(kKept.size());
    Compensation(gram.blocks(), kKept).apply(kRow, out);
    return out;
}

TEST(Compensation, LowersTheOutputsErrorAndIsTheRidgeSolution) {
    const auto inputs = correlated_inputs(200);
    const SquareGram gram = square_gram(inputs, kWidth);
    const std::vector<float> found = compensated(gram);
    const std::vector<float> cut{kRow[0], kRow[2], kRow[3], kRow[5]};
    EXPECT_LT(error_of(inputs, found), 0.05 * error_of(inputs, cut));

    // The normal equations of the ridge: (C_SS + λI)(w′ − w_S) = C_SP w_P, row by row.
    const auto c = [&](std::int64_t a, std::int64_t b) {
        return double{gram.values[static_cast<std::size_t>(a * kWidth + b)]};
    };
    double mean = 0;
    for (const std::int64_t s : kKept) mean += c(s, s) / static_cast<double>(kKept.size());
    for (std::size_t i = 0; i < kKept.size(); ++i) {
        double left = 0.01 * mean * (double{found[i]} - double{cut[i]}), right = 0;
        for (std::size_t j = 0; j < kKept.size(); ++j)
            left += c(kKept[i], kKept[j]) * (double{found[j]} - double{cut[j]});
        for (const std::int64_t p : {1, 4}) right += c(kKept[i], p) * double{kRow[static_cast<std::size_t>(p)]};
        EXPECT_NEAR(left, right, 1e-4 * mean) << i;  // F32 holds the map, the weights and the Gram matrix
    }
}

TEST(Compensation, OfIndependentChannelsChangesNothing) {
    SquareGram gram{.width = kWidth, .block = kWidth, .values = std::vector<float>(kWidth * kWidth)};
    for (std::size_t i = 0; i < kWidth; ++i) gram.values[i * kWidth + i] = static_cast<float>(i + 1);
    EXPECT_EQ(compensated(gram), (std::vector<float>{kRow[0], kRow[2], kRow[3], kRow[5]}));
    gram.values.assign(gram.values.size(), 0.0f);  // never seen
    EXPECT_EQ(compensated(gram), (std::vector<float>{kRow[0], kRow[2], kRow[3], kRow[5]}));
}

TEST(Compensation, SolvesEachBlockByItself) {
    const SquareGram whole = square_gram(correlated_inputs(50), kWidth);
    SquareGram blocks{.width = kWidth, .block = 3, .values = {}};
    for (std::size_t block = 0; block < 2; ++block)
        for (std::size_t i = 0; i < 9; ++i)
            blocks.values.push_back(whole.values[(3 * block + i / 3) * kWidth + 3 * block + i % 3]);
    const std::vector<float> found = compensated(blocks);

    for (std::size_t block = 0; block < 2; ++block) {
        const auto values = blocks.values.begin() + static_cast<std::ptrdiff_t>(9 * block);
        const SquareGram alone{.width = 3, .block = 3, .values = {values, values + 9}};
        const std::vector<std::int64_t> kept{0, 2};  // kKept is 0, 2 and 3, 5
        std::vector<float> out(2);
        Compensation(alone.blocks(), kept).apply(std::span(kRow).subspan(3 * block, 3), out);
        EXPECT_EQ(out, std::vector<float>(found.begin() + static_cast<std::ptrdiff_t>(2 * block),
                                          found.begin() + static_cast<std::ptrdiff_t>(2 * block + 2)))
            << block;
    }
}

TEST(Compensation, TreatsEveryRowAlike) {
    const SquareGram gram = square_gram(correlated_inputs(50), kWidth);
    std::vector<float> rows = kRow;
    rows.insert(rows.end(), kRow.rbegin(), kRow.rend());
    std::vector<float> out(2 * kKept.size()), second(kKept.size());
    const Compensation compensation(gram.blocks(), kKept);
    compensation.apply(rows, out);
    const std::vector<float> reversed(kRow.rbegin(), kRow.rend());
    compensation.apply(reversed, second);
    EXPECT_EQ(std::vector<float>(out.begin(), out.begin() + 4), compensated(gram));
    EXPECT_EQ(std::vector<float>(out.begin() + 4, out.end()), second);
}

TEST(Compensation, RefusesWhatIsNoGramMatrix) {
    SquareGram gram = square_gram(correlated_inputs(50), kWidth);
    gram.values[2] = gram.values[2 * kWidth] = 1e6f;  // |C_02| beyond what C_00 and C_22 allow
    EXPECT_THROW(Compensation(gram.blocks(), kKept), Error);
}

}  // namespace
}  // namespace plasticity
