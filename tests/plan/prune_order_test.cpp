#include "plan/prune_order.h"

#include <gtest/gtest.h>

#include <random>

#include "plan/synthetic_model.h"

namespace plasticity {
namespace {

using HeadScores = std::vector<std::vector<double>>;

/// Whole numbers, so that sums are exact in any order; some equal.
HeadScores whole_numbers(const Architecture& architecture, unsigned seed) {
    std::mt19937 random(seed);
    HeadScores heads;
    for (const LayerGeometry& layer : architecture.layers) {
        auto& row = heads.emplace_back();
        for (int head = 0; head < layer.n_head; ++head) row.push_back(static_cast<double>(random() % 16));
    }
    return heads;
}

/// Removes every unit in turn and compares damages of the whole model.
std::optional<PruneUnit> found_by_trying(const MeasuredDamage& damage, const HeadPruning& heads) {
    std::optional<PruneUnit> best;
    double least = 0;
    for (const PruneUnit& unit : heads.units()) {
        HeadPruning without = heads;
        without.remove(unit);
        const double price = (damage.of_removed(without) - damage.of_removed(heads)) / unit.heads;
        if (best && price >= least) continue;
        best = unit;
        least = price;
    }
    return best;
}

void expect_the_order_found_by_trying(const Architecture& architecture) {
    const MeasuredDamage damage{.types = {}, .heads = whole_numbers(architecture, 1)};
    HeadPruning heads(architecture, whole_numbers(architecture, 2));
    PruneOrder order(damage, heads);
    int removed = 0;
    for (; const auto unit = found_by_trying(damage, heads); ++removed) {
        const auto next = order.next();
        ASSERT_TRUE(next.has_value()) << removed;
        EXPECT_EQ(next->layer, unit->layer) << removed;
        EXPECT_EQ(next->group, unit->group) << removed;
        EXPECT_EQ(next->heads, unit->heads) << removed;
        heads.remove(*unit);
        order.remove(*next);
        EXPECT_EQ(order.heads().n_heads(), heads.n_heads());
    }
    EXPECT_FALSE(order.next().has_value());
    EXPECT_GT(removed, 3);
}

TEST(PruneOrder, IsThatOfTryingEveryUnit) {
    expect_the_order_found_by_trying(test::shape({.n_layer = 5, .n_head = 16, .n_head_kv = 4}));
}

TEST(PruneOrder, IsThatOfTryingEveryUnitWhereBlocksStayAlike) {
    Architecture architecture = test::shape({.n_layer = 3, .n_head = 16, .n_head_kv = 4});
    architecture.name = "qwen3";
    architecture.features.query_key_norms = true;
    ASSERT_TRUE(HeadPruning(architecture, whole_numbers(architecture, 2)).stays_alike());
    expect_the_order_found_by_trying(architecture);
}

}  // namespace
}  // namespace plasticity
