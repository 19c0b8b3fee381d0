#include "plan/type_fitting.h"

#include <algorithm>
#include <optional>

#include "core/checked.h"
#include "plan/knapsack.h"

namespace plasticity {
namespace {

constexpr std::uint64_t kAlignment = 32;  // GGUF's default, which the writer uses

std::uint64_t padded(const MatrixChoice& choice, std::size_t level) {
    return align_up(choice.bytes_at(level), kAlignment);
}

/// What a matrix takes and does at each level of its ladder, looked up thousands of times.
struct Costs {
    std::vector<std::uint64_t> bytes;
    std::vector<double> damage;

    /// Damage between two levels for each byte between them.
    double price(std::size_t upper, std::size_t lower) const {
        const std::uint64_t saved = std::max<std::uint64_t>(bytes[upper] - bytes[lower], 1);
        return (damage[lower] - damage[upper]) / static_cast<double>(saved);
    }
};

std::vector<Costs> costs_of(const std::vector<MatrixChoice>& choices) {
    std::vector<Costs> costs(choices.size());
    for (std::size_t i = 0; i < choices.size(); ++i)
        for (std::size_t level = 0; level < choices[i].ladder.size(); ++level) {
            costs[i].bytes.push_back(padded(choices[i], level));
            costs[i].damage.push_back(choices[i].weighed_damage_at(level));
        }
    return costs;
}

/// A change of one matrix's level. Of equal prices the first found is kept: deterministic.
struct LevelStep {
    std::size_t choice = 0;
    std::size_t level = 0;
    double price = 0;
};

}  // namespace

std::uint64_t stored_bytes(const std::vector<MatrixChoice>& choices) {
    std::uint64_t bytes = 0;
    for (const MatrixChoice& choice : choices) bytes += padded(choice, choice.level);
    return bytes;
}

std::uint64_t smallest_bytes(const std::vector<MatrixChoice>& choices) {
    std::uint64_t bytes = 0;
    for (const MatrixChoice& choice : choices) bytes += padded(choice, choice.ladder.size() - 1);
    return bytes;
}

bool demote_until_fits(std::vector<MatrixChoice>& choices, std::uint64_t room_bytes) {
    const std::vector<Costs> costs = costs_of(choices);
    std::uint64_t bytes = stored_bytes(choices);
    while (bytes > room_bytes) {
        std::optional<LevelStep> cheapest;
        for (std::size_t i = 0; i < choices.size(); ++i)
            for (std::size_t level = choices[i].level + 1; level < choices[i].ladder.size(); ++level) {
                const double price = costs[i].price(choices[i].level, level);
                if (!cheapest || price < cheapest->price) cheapest = LevelStep{i, level, price};
            }
        if (!cheapest) return false;
        MatrixChoice& choice = choices[cheapest->choice];
        bytes -= costs[cheapest->choice].bytes[choice.level] - costs[cheapest->choice].bytes[cheapest->level];
        choice.level = cheapest->level;
    }
    return true;
}

bool choose_least_damage(std::vector<MatrixChoice>& choices, std::uint64_t room_bytes) {
    std::vector<KnapsackItem> items(choices.size());
    for (std::size_t i = 0; i < choices.size(); ++i)
        for (std::size_t level = 0; level < choices[i].ladder.size(); ++level)
            items[i].push_back({padded(choices[i], level), choices[i].weighed_damage_at(level)});
    const auto levels = solve_knapsack(items, room_bytes);
    if (!levels) return false;
    for (std::size_t i = 0; i < choices.size(); ++i) choices[i].level = (*levels)[i];
    return true;
}

std::size_t Promoter::promote_within(std::uint64_t room_bytes) {
    const std::vector<Costs> costs = costs_of(choices_);
    std::uint64_t bytes = stored_bytes(choices_);
    std::size_t steps = 0;
    while (bytes < room_bytes) {
        std::optional<LevelStep> best;
        for (std::size_t i = 0; i < choices_.size(); ++i)
            for (std::size_t level = choices_[i].level; level-- > 0;) {
                if (costs[i].bytes[level] - costs[i].bytes[choices_[i].level] > room_bytes - bytes) break;
                const double price = costs[i].price(level, choices_[i].level);
                if ((!best || price > best->price) && !closed_.contains({i, level})) best = LevelStep{i, level, price};
            }
        if (!best) break;
        MatrixChoice& choice = choices_[best->choice];
        bytes += costs[best->choice].bytes[best->level] - costs[best->choice].bytes[choice.level];
        taken_.push_back({best->choice, choice.level});
        choice.level = best->level;
        ++steps;
    }
    return steps;
}

void Promoter::undo_last() {
    const Taken last = taken_.back();
    taken_.pop_back();
    closed_.insert({last.choice, choices_[last.choice].level});
    choices_[last.choice].level = last.from_level;
}

}  // namespace plasticity
