#include "plan/channel_pruning.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "plan/synthetic_model.h"
#include "support/expect_error.h"

namespace plasticity {
namespace {

using Damages = std::vector<std::vector<double>>;

Architecture of_widths(const std::vector<std::int32_t>& widths) {
    Architecture architecture = test::shape({.n_layer = static_cast<int>(widths.size())});
    for (std::size_t i = 0; i < widths.size(); ++i) architecture.layers[i].n_ff = widths[i];
    return architecture;
}

Architecture with_head_norms(Architecture architecture) {
    architecture.name = "qwen3";
    architecture.features.query_key_norms = true;
    return architecture;
}

/// Every channel of a layer is worth as much.
Damages flat(const Architecture& architecture, const std::vector<double>& each) {
    Damages damages;
    for (std::size_t i = 0; i < each.size(); ++i)
        damages.emplace_back(static_cast<std::size_t>(architecture.layers[i].n_ff), each[i]);
    return damages;
}

TEST(ChannelPruning, TakesTheCheapestChannelsOfTheCheapestLayer) {
    const Architecture architecture = of_widths({64, 64});
    Damages damages = flat(architecture, {4, 1});
    for (std::size_t channel = 0; channel < 64; channel += 2) damages[0][channel] = 0.5;
    ChannelPruning channels(architecture, damages);
    EXPECT_FALSE(channels.prunes());
    channels.prune_share(0.25);
    EXPECT_EQ(channels.n_removed(), 32);
    EXPECT_EQ(channels.damage(), 16);
    EXPECT_FALSE(channels.topology(1));
    const auto topology = channels.topology(0);
    ASSERT_TRUE(topology);
    EXPECT_EQ(topology->original_channels, 64);
    for (const std::int64_t kept : topology->indices()) EXPECT_EQ(kept % 2, 1);
    channels.prune_share(0.5);
    EXPECT_EQ(channels.n_removed(1), 32) << "layer 0 has nothing cheap left";
    EXPECT_EQ(channels.damage(1), 32);
    EXPECT_EQ(channels.damage(), 48);
}

TEST(ChannelPruning, OfEqualChannelsTheLowerStayAndOfEqualLayersTheFirstGoes) {
    const Architecture architecture = of_widths({64, 64});
    ChannelPruning channels(architecture, flat(architecture, {1, 1}));
    channels.prune_share(0.25);
    ASSERT_TRUE(channels.topology(0));
    EXPECT_EQ(channels.topology(0)->retained, (std::vector<ChannelRange>{{0, 31}}));
}

TEST(ChannelPruning, WidthsAreWholeBlocks) {
    const Architecture architecture = of_widths({1024, 96, 80});
    ChannelPruning channels(architecture, flat(architecture, {1, 1, 1}));
    std::vector<std::int32_t> steps;
    for (const ChannelUnit& unit : channels.units()) steps.push_back(unit.channels);
    EXPECT_EQ(steps, (std::vector<std::int32_t>{256, 32, 16})) << "1024 is whole 256-wide blocks, 80 no whole ones";
    while (!channels.units().empty()) channels.remove(channels.units().front());
    for (std::size_t layer = 0; layer < 3; ++layer)
        EXPECT_EQ(channels.topology(layer)->n_retained(), layer == 0 ? 256 : 32) << "no layer is without a width";
}

TEST(ChannelPruning, ReachesAShareAsNearAsUnitsAllow) {
    const Architecture architecture = of_widths({1024, 1024});
    for (const auto& [share, gone] : {std::pair{0.0, 0}, {0.05, 0}, {0.07, 256}, {0.2, 512}, {0.75, 1536}}) {
        ChannelPruning channels(architecture, flat(architecture, {1, 2}));
        channels.prune_share(share);
        EXPECT_EQ(channels.n_removed(), gone) << share;
    }
    test::expect_error(ErrorKind::kUsage, {"--prune ffn=0.8", "at most 0.7500"}, [&] {
        ChannelPruning channels(architecture, flat(architecture, {1, 2}));
        channels.prune_share(0.8);
    });
}

TEST(ChannelPruning, BlocksWithoutAFormOfTheirOwnKeepTheSameWidth) {
    const Architecture architecture = with_head_norms(of_widths({1024, 1024, 1024}));
    ChannelPruning channels(architecture, flat(architecture, {1, 2, 3}));
    ASSERT_EQ(channels.units().size(), 1u);
    EXPECT_EQ(channels.units()[0].channels, 3 * 256);
    EXPECT_EQ(channels.units()[0].damage, 6 * 256);
    channels.prune_share(0.5);
    for (std::size_t layer = 0; layer < 3; ++layer) EXPECT_EQ(channels.n_removed(layer), 512);
}

TEST(ChannelPruning, WithoutDamagesNothingGoes) {
    const ChannelPruning channels;
    EXPECT_TRUE(channels.units().empty());
    EXPECT_EQ(channels.n_removed(3), 0);
    EXPECT_FALSE(channels.topology(3));
    EXPECT_EQ(channels.damage(), 0);
}

}  // namespace
}  // namespace plasticity
