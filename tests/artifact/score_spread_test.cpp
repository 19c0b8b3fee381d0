#include "artifact/score_spread.h"

#include <gtest/gtest.h>

#include <cmath>

#include "core/error.h"

namespace plasticity {
namespace {

GateGradients scored(std::vector<std::vector<double>> sums) {
    GateGradients gradients;
    gradients.num_steps = 1;
    gradients.absolute_sums = std::move(sums);
    return gradients;
}

TEST(RankCorrelation, IsThatOfRanksWithTiesSharingTheirMean) {
    EXPECT_DOUBLE_EQ(rank_correlation({1, 2, 3, 40}, {10, 20, 30, 31}), 1);
    EXPECT_DOUBLE_EQ(rank_correlation({1, 2, 3, 4}, {4, 3, 2, 1}), -1);
    // Pearson's of the ranks 0, 1.5, 1.5, 3, 4 and 0, 1, 2.5, 4, 2.5
    EXPECT_NEAR(rank_correlation({1, 2, 2, 3, 5}, {5, 6, 7, 8, 7}), 0.7631578947368421, 1e-12);
    EXPECT_TRUE(std::isnan(rank_correlation({1, 1}, {1, 2})));
}

TEST(ScoreSpread, NamesTheHeadsThatLieFurthestApart) {
    const ScoreSpread spread = score_spread(scored({{1, 0, 1}, {}, {0.5}}), scored({{1, 1, 1}, {}, {0.75}}), 2);
    ASSERT_EQ(spread.largest.size(), 2u);
    EXPECT_EQ(spread.largest[0].layer, 0);
    EXPECT_EQ(spread.largest[0].head, 1);
    EXPECT_DOUBLE_EQ(spread.largest[0].first, 0);
    EXPECT_DOUBLE_EQ(spread.largest[0].second, 1);
    EXPECT_EQ(spread.largest[1].layer, 2);
    EXPECT_NEAR(spread.mean_difference, (1 + 0.25) / 4, 1e-12);
}

TEST(ScoreSpread, RefusesScoresOfDifferentModels) {
    EXPECT_THROW(score_spread(scored({{1, 2}}), scored({{1, 2}, {1}})), Error);
    EXPECT_THROW(score_spread(scored({{1, 2}}), scored({{1}})), Error);
}

}  // namespace
}  // namespace plasticity
