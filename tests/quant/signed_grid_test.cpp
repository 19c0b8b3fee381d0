#include "quant/signed_grid.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <set>
#include <string>

namespace plasticity {
namespace {

struct Expected {
    ggml_type type;
    std::size_t dims, points, levels;
};

class Grid : public testing::TestWithParam<Expected> {};

TEST_P(Grid, HasEveryPointOnceInTheRuns) {
    const Expected& expected = GetParam();
    const SignedGrid& grid = signed_grid(expected.type);
    EXPECT_EQ(grid.dims, expected.dims);
    EXPECT_EQ(grid.levels.size(), expected.levels);
    EXPECT_TRUE(std::ranges::is_sorted(grid.levels));
    EXPECT_EQ(grid.levels.front(), 8.0f);  // the smallest magnitude is one scale
    EXPECT_EQ(grid.points.size(), expected.points * expected.dims / 4);
    std::set<float> seen;
    for (const SignedGrid::Run& run : grid.runs)
        for (std::uint32_t i = run.begin; i < run.end; ++i) seen.insert(grid.second[i].point);
    EXPECT_EQ(seen.size(), expected.points);
    EXPECT_EQ(grid.second.size(), expected.points);
    EXPECT_EQ(*seen.rbegin(), static_cast<float>(expected.points - 1));
}

TEST_P(Grid, IsItsOwnNearest) {
    const SignedGrid& grid = signed_grid(GetParam().type);
    const std::size_t words = grid.dims / 4;
    for (std::size_t point = 0; point < grid.points.size(); point += words) {
        std::size_t code = 0;
        for (std::size_t i = grid.dims; i-- > 0;) {
            const auto magnitude = static_cast<float>(grid.points[point + i / 4] >> 8 * (i % 4) & 255);
            const auto level = std::ranges::find(grid.levels, magnitude) - grid.levels.begin();
            code = code * grid.levels.size() + static_cast<std::size_t>(level);
        }
        for (std::size_t word = 0; word < words; ++word)
            EXPECT_EQ(grid.nearest[code * words + word], grid.points[point + word]);
    }
}

INSTANTIATE_TEST_SUITE_P(SignedGrid, Grid,
                         testing::Values(Expected{GGML_TYPE_IQ3_S, 4, 512, 8}, Expected{GGML_TYPE_IQ3_XXS, 4, 256, 8},
                                         Expected{GGML_TYPE_IQ2_S, 8, 1024, 3}),
                         [](const auto& type_info) { return std::string(ggml_type_name(type_info.param.type)); });

}  // namespace
}  // namespace plasticity
