#include "plan/head_pruning.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "core/error.h"
#include "plan/synthetic_model.h"

namespace plasticity {
namespace {

using test::shape;
using Heads = std::vector<std::int32_t>;
using Scores = std::vector<std::vector<double>>;

HeadPruning one_layer(std::vector<double> scores, std::int32_t groups) {
    const auto heads = static_cast<std::int32_t>(scores.size());
    return {shape({.n_layer = 1, .n_head = heads, .n_head_kv = groups}), {std::move(scores)}};
}

HeadPruning by_tiers(std::vector<double> scores, std::int32_t groups) {
    HeadPruning heads = one_layer(std::move(scores), groups);
    heads.prune_by_tiers();
    return heads;
}

TEST(PruneByTiers, AGroupDiesOnlyWithAllItsHeads) {
    // Groups of two: {.5 .05} lives, {.05 .09} dies, {.4 .3} lives, {.1 .0} lives: .1 itself stays.
    const auto heads = by_tiers({.5, .05, .05, .09, .4, .3, .1, .0}, 4);
    EXPECT_EQ(heads.layers()[0].groups, (Heads{0, 2, 3}));
    // The best group has two heads alive, so all keep two.
    EXPECT_EQ(heads.layers()[0].kept(), (Heads{0, 1, 4, 5, 6, 7}));
}

TEST(PruneByTiers, LivingGroupsKeepAsManyHeadsAsTheBestNeeds) {
    const auto heads = by_tiers({.01, .5, .2, .02, .03, .3, .01, .04, .02, .01, .05, .6}, 3);
    EXPECT_EQ(heads.layers()[0].heads_per_group, 2);
    EXPECT_EQ(heads.layers()[0].kept(), (Heads{1, 2, 5, 7, 10, 11}));
}

TEST(PruneByTiers, FourHeadsAndTwoGroupsStay) {
    EXPECT_EQ(by_tiers({0, 0, 0, 0, 0, 0, 0, 0}, 4).layers()[0].kept(), (Heads{0, 1, 2, 3}));   // ties: lower index
    EXPECT_EQ(by_tiers({0, 0, .9, 0, 0, 0, .05, 0}, 4).layers()[0].groups, (Heads{1, 3}));      // the best dead one
    EXPECT_EQ(by_tiers({.9, 0, 0, 0, 0, 0, 0, 0}, 1).layers()[0].kept(), (Heads{0, 1, 2, 3}));  // one group, 4 heads
    EXPECT_EQ(by_tiers({.9, 0, 0, 0, 0, 0}, 6).layers()[0].kept(), (Heads{0, 1, 2, 3}));        // no grouping
    EXPECT_EQ(by_tiers({.0, .0}, 1).layers()[0].kept(), (Heads{0, 1}));                         // has no four
}

Architecture with_head_norms(std::int32_t n_layer) {
    Architecture architecture = shape({.n_layer = n_layer});
    architecture.name = "qwen3";
    architecture.features.query_key_norms = true;
    return architecture;
}

TEST(PruneAlike, BlocksWithoutAFormOfTheirOwnKeepEquallyManyHeads) {
    // Alone the first block would keep two groups, the second three.
    const Scores scores{{.5, .5, .0, .0, .5, .5, .0, .0}, {.5, .5, .4, .4, .05, .0, .3, .3}};
    HeadPruning heads(with_head_norms(2), scores);
    heads.prune_by_tiers();
    EXPECT_EQ(heads.layers()[0].groups, (Heads{0, 1, 2})) << "the best of the dead, the lower index of equal ones";
    EXPECT_EQ(heads.layers()[1].groups, (Heads{0, 1, 3}));
    EXPECT_TRUE(heads.pruned(with_head_norms(2)).is_uniform());
}

TEST(PruneAlike, AUnitGoesFromEveryBlock) {
    const Scores scores{{.9, .1, .9, .2, .9, .3, .9, .4}, {.5, .6, .5, .6, .5, .6, .1, .2}};
    HeadPruning heads(with_head_norms(2), scores);
    const auto unit = heads.cheapest_unit();
    ASSERT_TRUE(unit);
    // The worst head of each group costs (.1 + .2 + .3 + .4 + .5 + .5 + .5 + .1) / 8, the worst groups (.9 + .1 + .1 +
    // .2) / 4.
    EXPECT_FALSE(unit->group);
    EXPECT_EQ(unit->heads, 8);
    EXPECT_NEAR(unit->cost, 2.6 / 8, 1e-12);
    heads.remove(*unit);
    EXPECT_EQ(heads.layers()[0].kept(), (Heads{0, 2, 4, 6}));
    EXPECT_EQ(heads.layers()[1].kept(), (Heads{1, 3, 5, 7}));
    EXPECT_TRUE(heads.pruned(with_head_norms(2)).is_uniform());
}

TEST(PruneAlike, SharesAreReachedInStepsOfAllBlocks) {
    HeadPruning heads(with_head_norms(2), {{.9, .8, .7, .6, .5, .4, .3, .2}, {.2, .3, .4, .5, .6, .7, .8, .9}});
    heads.prune_share(0.25);
    EXPECT_EQ(heads.n_heads(), 12);
    EXPECT_EQ(heads.layers()[0].groups, (Heads{0, 1, 2}));
    EXPECT_EQ(heads.layers()[1].groups, (Heads{1, 2, 3}));
}

TEST(PruneGroups, RemovesTheWorstInEveryLayer) {
    HeadPruning heads(shape({.n_layer = 2}), {{.1, .1, .9, .9, .2, .1, .5, .5}, {1, 1, 1, 1, 1, 1, 1, 1}});
    heads.prune_groups(2);
    EXPECT_EQ(heads.layers()[0].groups, (Heads{1, 3}));
    EXPECT_EQ(heads.layers()[1].groups, (Heads{0, 1}));
    EXPECT_EQ(heads.layers()[0].kept(), (Heads{2, 3, 6, 7}));
    try {
        heads.prune_groups(3);
        FAIL();
    } catch (const Error& error) {
        EXPECT_EQ(error.kind(), ErrorKind::kUsage);
        EXPECT_NE(std::string(error.what()).find("at most 2"), std::string::npos);
    }
}

TEST(CheapestUnit, IsAHeadOfEveryGroupOrAWholeGroup) {
    // Worst heads of the groups: .1 and .3, mean .2. Whole groups: (.9+.1)/2 = .5 and (.35+.3)/2: not removable anyway.
    HeadPruning two_groups = one_layer({.9, .1, .5, .35, .3, .9}, 2);
    const auto unit = two_groups.cheapest_unit();
    ASSERT_TRUE(unit);
    EXPECT_FALSE(unit->group);
    EXPECT_EQ(unit->heads, 2);
    EXPECT_DOUBLE_EQ(unit->cost, .2);
    two_groups.remove(*unit);
    EXPECT_EQ(two_groups.layers()[0].kept(), (Heads{0, 2, 3, 5}));
    EXPECT_FALSE(two_groups.cheapest_unit());  // four heads stay

    // With a group worth nothing the whole group is the cheaper: mean .05 against (.05 + .5 + .6)/3.
    const auto whole = one_layer({.05, .05, .5, .9, .6, .9}, 3).cheapest_unit();
    ASSERT_TRUE(whole && whole->group);
    EXPECT_EQ(*whole->group, 0);
    EXPECT_EQ(whole->heads, 2);
    EXPECT_DOUBLE_EQ(whole->cost, .05);
}

TEST(PruneShare, ReachesTheShareWithinHalfAUnit) {
    const Architecture architecture = shape({.n_layer = 6, .n_head = 16, .n_head_kv = 4});
    for (const double share : {0.0, 0.01, 0.1, 0.25, 0.4, 0.6}) {
        HeadPruning heads(architecture, test::mixed_scores(architecture));
        heads.prune_share(share);
        const double removed = static_cast<double>(heads.base_heads() - heads.n_heads());
        EXPECT_NEAR(removed, share * 96, 2.0) << share;  // units here are of 2 to 4 heads
        for (const LayerHeads& layer : heads.layers()) {
            EXPECT_GE(layer.groups.size(), 2u);
            EXPECT_GE(layer.n_heads(), 4);
        }
    }
    HeadPruning heads(architecture, test::mixed_scores(architecture));
    EXPECT_THROW(heads.prune_share(0.9), Error);
}

TEST(PruneShare, RanksOverAllLayersTogether) {
    HeadPruning heads(shape({.n_layer = 2}), {{.9, .9, .9, .9, .9, .9, .9, .9}, {.2, .2, .2, .2, .2, .2, .2, .2}});
    heads.prune_share(0.25);
    EXPECT_EQ(heads.layers()[0].n_heads(), 8);
    EXPECT_EQ(heads.layers()[1].n_heads(), 4);
}

TEST(Topology, GroupsKeepEqualNumbersWhateverTheScores) {
    const Architecture architecture = shape({.n_layer = 12, .n_head = 24, .n_head_kv = 6});
    for (std::uint32_t seed = 1; seed < 20; ++seed) {
        HeadPruning heads(architecture, test::mixed_scores(architecture, seed));
        heads.prune_by_tiers();
        if (seed % 2 == 0) heads.prune_share(0.5);
        for (const LayerTopology& layer : heads.topology()) {
            std::vector<int> per_group(6, 0);
            for (const std::int32_t head : layer.retained_head_indices) ++per_group[static_cast<std::size_t>(head / 4)];
            for (std::int32_t group = 0; group < 6; ++group) {
                const bool lives = std::ranges::binary_search(layer.retained_kv_head_indices, group);
                EXPECT_EQ(per_group[static_cast<std::size_t>(group)], lives ? layer.num_heads / layer.num_kv_heads : 0);
            }
        }
    }
}

TEST(ChooseHeads, OffKeepsEverythingAndBlocksWithoutAttentionAreLeftAlone) {
    Architecture architecture = shape({.n_layer = 2});
    architecture.layers[1] = {0, 0, 1024};
    const Scores scores{{0, 0, 0, 0, 0, 0, 0, 0}, {}};
    EXPECT_FALSE(choose_heads(architecture, scores, {PruneRequest::Kind::kOff, 0}).prunes());
    const HeadPruning heads = choose_heads(architecture, scores, {PruneRequest::Kind::kAuto, 0});
    EXPECT_EQ(heads.topology()[1].num_heads, 0);
    EXPECT_EQ(heads.pruned(architecture).layers[0], (LayerGeometry{4, 2, 1024}));
}

}  // namespace
}  // namespace plasticity
