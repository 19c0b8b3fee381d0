#include "plan/shrinkage.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <random>

namespace plasticity {
namespace {

/// Truths that vary by a factor of some three either way, and means of so many squares for each.
struct Draw {
    std::vector<double> truths, estimates;
};

Draw draw(int n_squares, double spread) {
    std::mt19937 random(7);
    std::normal_distribution<double> normal;
    Draw drawn;
    for (int i = 0; i < 4000; ++i) {
        const double truth = std::exp(-5 + spread * normal(random));
        double sum = 0;
        for (int square = 0; square < n_squares; ++square) sum += truth * std::pow(normal(random), 2);
        drawn.truths.push_back(truth);
        drawn.estimates.push_back(sum / n_squares);
    }
    return drawn;
}

/// Σ over the tenth whose estimates are lowest.
double of_the_lowest(const Draw& drawn, const std::vector<double>& values) {
    std::vector<std::size_t> order(values.size());
    std::iota(order.begin(), order.end(), std::size_t{0});
    std::ranges::sort(order, {}, [&](std::size_t i) { return drawn.estimates[i]; });
    double sum = 0;
    for (std::size_t i = 0; i < order.size() / 10; ++i) sum += values[order[i]];
    return sum;
}

TEST(Shrinkage, OfTheLowestIsWhatTheyReallyAre) {
    for (const int n_squares : {4, 8, 32}) {
        SCOPED_TRACE(n_squares);
        const Draw drawn = draw(n_squares, 1);
        const double truth = of_the_lowest(drawn, drawn.truths);
        const std::vector<double> expected = shrunk(drawn.estimates, n_squares);
        EXPECT_NEAR(of_the_lowest(drawn, expected) / truth, 1.1, 0.15) << "logarithms are normal here";
        EXPECT_LT(of_the_lowest(drawn, drawn.estimates), (n_squares == 32 ? 0.95 : 0.75) * truth) << "by luck";
        EXPECT_NEAR(
            std::reduce(expected.begin(), expected.end()) / std::reduce(drawn.truths.begin(), drawn.truths.end()), 1,
            0.1);
        for (std::size_t i = 1; i < expected.size(); ++i)
            ASSERT_EQ(expected[i] < expected[i - 1], drawn.estimates[i] < drawn.estimates[i - 1]) << "order stays";
    }
}

TEST(Shrinkage, OfManySquaresIsTheEstimate) {
    const Draw drawn = draw(8, 1);
    const std::vector<double> expected = shrunk(drawn.estimates, 1e6);
    for (std::size_t i = 0; i < expected.size(); ++i) ASSERT_NEAR(expected[i] / drawn.estimates[i], 1, 1e-3);
}

TEST(Shrinkage, OfWhatVariesByLuckAloneIsNearlyTheSameForAll) {
    const Draw drawn = draw(8, 0);
    const std::vector<double> expected = shrunk(drawn.estimates, 8);
    EXPECT_LT(*std::ranges::max_element(expected) / *std::ranges::min_element(expected), 1.3);
    EXPECT_NEAR(expected.front() / drawn.truths.front(), 1, 0.1);
}

TEST(Shrinkage, LeavesZerosAlone) {
    EXPECT_EQ(shrunk({}, 1), std::vector<double>{});
    EXPECT_EQ(shrunk({0, 0}, 1), (std::vector<double>{0, 0}));
    const std::vector<double> mixed = shrunk({0, 1, 4}, 8), without = shrunk({1, 4}, 8);
    EXPECT_EQ(mixed, (std::vector<double>{0, without[0], without[1]}));
}

}  // namespace
}  // namespace plasticity
