#include "plan/prune_order.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <limits>
#include <random>

#include "plan/synthetic_model.h"

namespace plasticity {
namespace {

using Numbers = std::vector<std::vector<double>>;

/// Whole ones, so that sums are exact in any order; some equal.
Numbers whole_numbers(const Architecture& architecture, unsigned seed) {
    std::mt19937 random(seed);
    Numbers numbers;
    for (const LayerGeometry& layer : architecture.layers) {
        auto& row = numbers.emplace_back();
        for (int i = 0; i < layer.n_head; ++i) row.push_back(static_cast<double>(random() % 16));
    }
    return numbers;
}

/// 4 bits for a weight, and where memory is bounded the KV cache.
std::int64_t bytes_of(const PlanInputs& inputs, const HeadPruning& heads) {
    const Architecture output = heads.pruned(inputs.model.architecture());
    std::int64_t bytes = 0;
    for (const LayerGeometry& layer : output.layers) {
        const std::int64_t head = output.head_dim;
        bytes += (2 * layer.n_head + 2 * layer.n_head_kv) * head * output.n_embd / 2;
        if (inputs.goal.device) bytes += 2 * layer.n_head_kv * head * inputs.goal.context_length * 2;
    }
    return bytes;
}

std::vector<PruneUnit> every_unit(const HeadPruning& heads) {
    std::vector<PruneUnit> units = heads.units();
    for (std::size_t layer = 0; layer < heads.layers().size(); ++layer)
        if (const auto everything = heads.whole_attention(layer)) units.push_back(*everything);
    return units;
}

HeadPruning without(HeadPruning heads, const PruneUnit& unit) {
    heads.remove(unit);
    return heads;
}

class PruneOrderTest : public testing::Test {
protected:
    /// Removes every unit in turn and compares damages and bytes of the whole model.
    void expect_the_cheapest_first(const Architecture& architecture, PlanGoal goal) const {
        const test::SyntheticModel model(architecture);
        const GateGradients scores = test::gradients_of(architecture, test::mixed_scores(architecture));
        const MeasuredDamage damage{.types = {}, .heads = whole_numbers(architecture, 1)};
        goal.target_bits_per_weight = 4;
        HeadPruning heads(architecture, whole_numbers(architecture, 2));
        if (goal.device)
            goal.device->memory_bytes = static_cast<std::uint64_t>(output_parameters(model, heads)) * 4 / 8;
        const PlanInputs inputs{.model = model, .scores = scores, .goal = goal, .damage = &damage};
        const auto price = [&](const PruneUnit& unit) {
            const HeadPruning fewer = without(heads, unit);
            return (damage.of_removed(fewer) - damage.of_removed(heads)) /
                   static_cast<double>(bytes_of(inputs, heads) - bytes_of(inputs, fewer));
        };
        PruneOrder order(inputs, heads);
        int removed = 0, whole = 0;
        for (std::vector<PruneUnit> units = every_unit(heads); !units.empty(); units = every_unit(heads)) {
            const auto next = order.next();
            ASSERT_TRUE(next.has_value());
            double least = std::numeric_limits<double>::infinity();
            for (const PruneUnit& unit : units) least = std::min(least, price(unit));
            EXPECT_DOUBLE_EQ(price(*next), least) << "after " << removed;
            ++removed;
            whole += int{next->is_everything};
            heads = without(heads, *next);
            order.remove(*next);
            EXPECT_EQ(order.heads().n_heads(), heads.n_heads());
        }
        EXPECT_FALSE(order.next().has_value());
        EXPECT_GT(removed, 3);
        EXPECT_EQ(whole, heads.stays_alike() ? 0 : (architecture.n_layer() + 1) / 2) << "half of the blocks";
    }

    const Architecture ragged_ = test::shape({.n_layer = 5, .n_head = 16, .n_head_kv = 4});
};

TEST_F(PruneOrderTest, IsThatOfTryingEveryUnit) {
    expect_the_cheapest_first(ragged_, {});
}

TEST_F(PruneOrderTest, CountsTheKvCacheWhereMemoryIsBounded) {
    PlanGoal goal;
    goal.device = Device{.label = "test", .memory_bytes = 1, .reserved_bytes = 0};
    goal.context_length = 32768;
    expect_the_cheapest_first(ragged_, goal);
}

TEST_F(PruneOrderTest, IsThatOfTryingEveryUnitWhereBlocksStayAlike) {
    Architecture architecture = test::shape({.n_layer = 3, .n_head = 16, .n_head_kv = 4});
    architecture.name = "qwen3";
    architecture.features.query_key_norms = true;
    ASSERT_TRUE(HeadPruning(architecture, whole_numbers(architecture, 2)).stays_alike());
    expect_the_cheapest_first(architecture, {});
}

}  // namespace
}  // namespace plasticity
