#include "plan/knapsack.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <random>

namespace plasticity {
namespace {

std::uint64_t bytes_of(const std::vector<KnapsackItem>& items, const std::vector<std::size_t>& choice) {
    std::uint64_t bytes = 0;
    for (std::size_t i = 0; i < items.size(); ++i) bytes += items[i][choice[i]].bytes;
    return bytes;
}

double damage_of(const std::vector<KnapsackItem>& items, const std::vector<std::size_t>& choice) {
    double damage = 0;
    for (std::size_t i = 0; i < items.size(); ++i) damage += items[i][choice[i]].damage;
    return damage;
}

/// The least damage of all choices, by trying every one.
double least_damage(const std::vector<KnapsackItem>& items, std::uint64_t capacity) {
    std::vector<std::size_t> choice(items.size(), 0);
    double least = std::numeric_limits<double>::infinity();
    for (;;) {
        if (bytes_of(items, choice) <= capacity) least = std::min(least, damage_of(items, choice));
        std::size_t i = 0;
        while (i < items.size() && ++choice[i] == items[i].size()) choice[i++] = 0;
        if (i == items.size()) return least;
    }
}

/// Options as types make them: damage falls by about four for every bit.
std::vector<KnapsackItem> random_items(std::size_t n, std::uint32_t seed) {
    std::mt19937 random(seed);
    std::uniform_real_distribution<double> uniform(0.5, 1.5);
    std::vector<KnapsackItem> items(n);
    for (KnapsackItem& item : items) {
        const double parameters = 1000 * uniform(random) * static_cast<double>(random() % 4 + 1),
                     damage = uniform(random) * static_cast<double>(random() % 8 + 1);
        for (const double bits : {3.4375, 4.25, 4.5, 5.5, 6.5625, 8.5})
            item.push_back({static_cast<std::uint64_t>(parameters * bits / 8),
                            damage * parameters * uniform(random) * std::exp2(-2 * bits)});
    }
    return items;
}

TEST(ParetoFront, LeavesOutWhatAnotherBeatsInBoth) {
    const KnapsackItem item{{10, 5}, {20, 5}, {20, 1}, {15, 6}, {10, 7}, {30, 0.5}, {30, 0.5}};
    EXPECT_EQ(pareto_front(item), (std::vector<std::size_t>{5, 2, 0}));
    EXPECT_EQ(pareto_front({{1, 1}}), (std::vector<std::size_t>{0}));
}

TEST(SolveKnapsack, TakesTheBestOfEverythingWhenThereIsRoom) {
    const std::vector<KnapsackItem> items{{{10, 5}, {20, 1}}, {{7, 3}, {9, 2}}};
    EXPECT_EQ(*solve_knapsack(items, 29), (std::vector<std::size_t>{1, 1}));
    EXPECT_EQ(*solve_knapsack(items, 28), (std::vector<std::size_t>{1, 0}));
    EXPECT_EQ(*solve_knapsack(items, 19), (std::vector<std::size_t>{0, 1}));
    EXPECT_EQ(*solve_knapsack(items, 17), (std::vector<std::size_t>{0, 0}));
    EXPECT_FALSE(solve_knapsack(items, 16));
    EXPECT_TRUE(solve_knapsack({}, 0)->empty());
}

// Greedy steps along the hull alone would stop at the first item that no longer fits.
TEST(SolveKnapsack, ExchangesInPairsWhereSingleStepsDoNot) {
    const std::vector<KnapsackItem> items{{{10, 10}, {20, 3}}, {{10, 10}, {25, 1}}};
    // The first step has the better price, 0.7 against 0.6 a byte; both together take 45, and the second alone is best.
    EXPECT_EQ(*solve_knapsack(items, 35), (std::vector<std::size_t>{0, 1}));
}

TEST(SolveKnapsack, ComesCloseToTheBestOfAllChoices) {
    double sum = 0;
    int cases = 0;
    for (std::uint32_t seed = 0; seed < 40; ++seed) {
        const std::vector<KnapsackItem> items = random_items(6, seed);
        std::uint64_t smallest = 0, largest = 0;
        for (const KnapsackItem& item : items) {
            smallest += item.front().bytes;
            largest += item.back().bytes;
        }
        for (const double share : {0.0, 0.1, 0.35, 0.6, 0.9}) {
            const auto capacity =
                smallest + static_cast<std::uint64_t>(share * static_cast<double>(largest - smallest));
            const auto choice = solve_knapsack(items, capacity);
            ASSERT_TRUE(choice);
            EXPECT_LE(bytes_of(items, *choice), capacity);
            const double ratio = damage_of(items, *choice) / least_damage(items, capacity);
            EXPECT_GE(ratio, 1 - 1e-12);
            EXPECT_LT(ratio, 1.5);
            sum += ratio;
            ++cases;
        }
    }
    // Six items leave few exchanges, and one step of a large one is much of the whole: a model has hundreds.
    EXPECT_LT(sum / cases, 1.05);
}

/// 560 matrices, an 80-layer model, fill their budget to the last ten-thousandth.
TEST(SolveKnapsack, FillsTheBudgetOfALargeModel) {
    const std::vector<KnapsackItem> items = random_items(560, 7);
    std::uint64_t capacity = 0;
    for (const KnapsackItem& item : items) capacity += item[2].bytes;
    const auto choice = solve_knapsack(items, capacity);
    ASSERT_TRUE(choice);
    EXPECT_LE(bytes_of(items, *choice), capacity);
    EXPECT_GT(bytes_of(items, *choice), capacity - capacity / 10000);
    EXPECT_EQ(solve_knapsack(items, capacity), choice);
    double uniform = 0;
    for (const KnapsackItem& item : items) uniform += item[2].damage;
    EXPECT_LT(damage_of(items, *choice), uniform);
}

}  // namespace
}  // namespace plasticity
