#include "plan/row_sample.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>

namespace plasticity {
namespace {

double sum(const std::vector<double>& values) {
    return std::accumulate(values.begin(), values.end(), 0.0);
}

TEST(SampleRows, AreAllRowsWhereThereAreFew) {
    const std::vector<double> weights{3, 0, 2};
    const RowSample sample = sample_rows(weights, 8);
    EXPECT_EQ(sample.rows, (std::vector<std::int64_t>{0, 1, 2}));
    EXPECT_EQ(sample.factors, weights);
}

TEST(SampleRows, TakeTheHeaviestAndSpreadOverTheOthers) {
    std::vector<double> weights(1000, 1.0);
    weights[17] = 500;
    weights[900] = 300;
    const RowSample sample = sample_rows(weights, 8);
    ASSERT_EQ(sample.rows.size(), 8u);
    EXPECT_TRUE(std::ranges::is_sorted(sample.rows));
    EXPECT_EQ(std::ranges::adjacent_find(sample.rows), sample.rows.end());
    const auto factor_of = [&](std::int64_t row) {
        return sample.factors[static_cast<std::size_t>(std::ranges::find(sample.rows, row) - sample.rows.begin())];
    };
    EXPECT_DOUBLE_EQ(factor_of(17), 500);
    EXPECT_DOUBLE_EQ(factor_of(900), 300);
    EXPECT_DOUBLE_EQ(sum(sample.factors), sum(weights));
    // Six rows stand for the 998 others, one in each sixth.
    std::vector<int> sixths(6, 0);
    for (const std::int64_t row : sample.rows)
        if (row != 17 && row != 900) ++sixths[static_cast<std::size_t>(row * 6 / 1000)];
    EXPECT_EQ(sixths, (std::vector<int>{1, 1, 1, 1, 1, 1}));
}

TEST(SampleRows, GiveNothingToRowsThatDoNotCount) {
    std::vector<double> weights(100, 0.0);
    weights[3] = 2;
    const RowSample sample = sample_rows(weights, 4);
    EXPECT_EQ(sample.rows.size(), 4u);
    EXPECT_DOUBLE_EQ(sum(sample.factors), 2);
}

}  // namespace
}  // namespace plasticity
