#include "artifact/feed_forward_topology.h"

#include <gtest/gtest.h>

#include <limits>

namespace plasticity {
namespace {

using Channels = std::vector<std::int32_t>;
using Ranges = std::vector<ChannelRange>;

TEST(FeedForwardTopology, PutsNeighboursIntoOneRange) {
    const Channels kept{0, 1, 2, 5, 7, 8};
    const FeedForwardTopology topology = FeedForwardTopology::of(kept, 10);
    EXPECT_EQ(topology.retained, (Ranges{{0, 2}, {5, 5}, {7, 8}}));
    EXPECT_EQ(topology.original_channels, 10);
    EXPECT_EQ(topology.n_retained(), 6);
    EXPECT_EQ(topology.indices(), (std::vector<std::int64_t>{0, 1, 2, 5, 7, 8}));
    EXPECT_EQ(problem_of(topology), "");
}

TEST(FeedForwardTopology, FindsWhatCannotBe) {
    constexpr std::int32_t kMost = std::numeric_limits<std::int32_t>::max();
    const Ranges bad[] = {{},       {{-1, 3}},        {{3, 2}},         {{0, 10}},    {{0, 3}, {3, 5}},
                          {{0, 9}}, {{5, 6}, {0, 1}}, {{0, 3}, {4, 5}}, {{0, kMost}}, {{kMost, kMost}}};
    for (const Ranges& ranges : bad)
        EXPECT_NE(problem_of({.original_channels = 10, .retained = ranges}), "")
            << ranges.size() << " ranges, the first " << (ranges.empty() ? 0 : ranges[0].first) << " to "
            << (ranges.empty() ? 0 : ranges[0].last);
    EXPECT_EQ(problem_of({.original_channels = 10, .retained = {{0, 3}, {5, 9}}}), "");
}

TEST(FeedForwardTopology, CountsWhatOnlyOneHas) {
    const FeedForwardTopology some{.original_channels = 10, .retained = {{0, 4}, {6, 8}}};
    const FeedForwardTopology other{.original_channels = 10, .retained = {{3, 6}, {9, 9}}};
    EXPECT_EQ(n_only_in(some, other), 5);  // 0 1 2 7 8
    EXPECT_EQ(n_only_in(other, some), 2);  // 5 9
    EXPECT_EQ(n_only_in(some, some), 0);
}

}  // namespace
}  // namespace plasticity
