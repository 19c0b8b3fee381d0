#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

namespace plasticity {

/// One way to store an item.
struct KnapsackOption {
    std::uint64_t bytes = 0;
    double damage = 0;
};
using KnapsackItem = std::vector<KnapsackOption>;

/// Options that no other beats in both bytes and damage, by falling bytes. @returns indices into `item`; never empty
std::vector<std::size_t> pareto_front(const KnapsackItem& item);

/// One option of every item so that the bytes stay within `capacity` and the damage is least (multiple-choice knapsack;
/// Sinha & Zoltners 1979). The linear relaxation is solved exactly: steps along the items' convex hulls, the most
/// damage removed per byte first, which is what bisection over the Lagrange multiplier converges to. It bounds what any
/// choice can reach; then the options that this bound cannot exclude are exchanged, alone and in pairs, as long as
/// damage falls. Ties go to the lower index: deterministic.
/// @returns an option's index per item; nothing when even the smallest options exceed the capacity
std::optional<std::vector<std::size_t>> solve_knapsack(const std::vector<KnapsackItem>& items, std::uint64_t capacity);

}  // namespace plasticity
