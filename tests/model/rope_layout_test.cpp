#include "model/rope_layout.h"

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "core/error.h"

namespace plasticity {
namespace {

using Rows = std::vector<std::int64_t>;

TEST(RopeRowOrder, InterleavesTheHalvesOfEachHead) {
    EXPECT_EQ(rope_row_order(1, 6, RopeLayout::kNeox, RopeLayout::kNorm), (Rows{0, 3, 1, 4, 2, 5}));
    EXPECT_EQ(rope_row_order(2, 4, RopeLayout::kNeox, RopeLayout::kNorm), (Rows{0, 2, 1, 3, 4, 6, 5, 7}));
}

TEST(RopeRowOrder, TakesTheInterleavingBack) {
    const Rows there = rope_row_order(3, 10, RopeLayout::kNeox, RopeLayout::kNorm);
    const Rows back = rope_row_order(3, 10, RopeLayout::kNorm, RopeLayout::kNeox);
    for (std::int64_t row = 0; row < std::ssize(back); ++row) EXPECT_EQ(there[back[row]], row);
}

TEST(RopeRowOrder, IsTheIdentityWithinALayout) {
    EXPECT_EQ(rope_row_order(2, 2, RopeLayout::kNorm, RopeLayout::kNorm), (Rows{0, 1, 2, 3}));
}

// The property that matters, not the table: rotating and taking q·k gives the same score in both layouts.
TEST(RopeRowOrder, LeavesRotatedScoresUnchanged) {
    constexpr int kDim = 8;
    const auto rotate = [](std::vector<double> x, int position, RopeLayout layout) {
        for (int pair = 0; pair < kDim / 2; ++pair) {
            const int i = layout == RopeLayout::kNeox ? pair : 2 * pair;
            const int j = layout == RopeLayout::kNeox ? pair + kDim / 2 : 2 * pair + 1;
            const double angle = position * std::pow(10000.0, -2.0 * pair / kDim);
            const double a = x[i], b = x[j];
            x[i] = a * std::cos(angle) - b * std::sin(angle);
            x[j] = a * std::sin(angle) + b * std::cos(angle);
        }
        return x;
    };
    const auto score = [&](const std::vector<double>& q, const std::vector<double>& k, RopeLayout layout) {
        const auto rotated_q = rotate(q, 7, layout), rotated_k = rotate(k, 3, layout);
        double sum = 0;
        for (int i = 0; i < kDim; ++i) sum += rotated_q[i] * rotated_k[i];
        return sum;
    };
    const std::vector<double> q{.3, -1, 2, .5, -.7, 1.1, .2, -2}, k{1, .4, -.6, 2, .9, -.1, .8, .05};
    std::vector<double> norm_q, norm_k;
    for (const auto row : rope_row_order(1, kDim, RopeLayout::kNeox, RopeLayout::kNorm)) {
        norm_q.push_back(q[row]);
        norm_k.push_back(k[row]);
    }
    EXPECT_NEAR(score(q, k, RopeLayout::kNeox), score(norm_q, norm_k, RopeLayout::kNorm), 1e-12);
}

TEST(RopeRowOrder, RefusesOddHeadsAndNoHeads) {
    EXPECT_THROW(rope_row_order(1, 5, RopeLayout::kNeox, RopeLayout::kNorm), Error);
    EXPECT_THROW(rope_row_order(0, 4, RopeLayout::kNeox, RopeLayout::kNorm), Error);
    EXPECT_THROW(rope_row_order(1, 0, RopeLayout::kNeox, RopeLayout::kNeox), Error);
}

TEST(RowsOfHeads, KeepsWholeHeads) {
    const std::vector<std::int32_t> kept{0, 2};
    EXPECT_EQ(rows_of_heads(kept, 3, 2), (Rows{0, 1, 4, 5}));
    EXPECT_TRUE(rows_of_heads({}, 3, 2).empty());
}

TEST(RowsOfHeads, RefusesHeadsOutOfOrderOrRange) {
    for (const std::vector<std::int32_t>& bad : {std::vector{1, 1}, {2, 0}, {3}, {-1}})
        EXPECT_THROW(rows_of_heads(bad, 3, 2), Error);
}

}  // namespace
}  // namespace plasticity
