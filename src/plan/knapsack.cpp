#include "plan/knapsack.h"

#include <algorithm>
#include <numeric>
#include <tuple>

namespace plasticity {
namespace {

/// A step of an item from one option to a larger one.
struct Step {
    std::size_t item = 0;
    std::size_t option = 0;  ///< where it leads
    std::uint64_t bytes = 0;
    double gain = 0;  ///< damage removed

    double price() const { return gain / static_cast<double>(bytes); }
};

/// Steps along the lower convex hull of an item's options, from the smallest up: prices fall.
std::vector<Step> hull_steps(const KnapsackItem& item, std::size_t index) {
    std::vector<std::size_t> front = pareto_front(item);
    std::reverse(front.begin(), front.end());
    const auto step = [&](std::size_t from, std::size_t to) {
        return Step{index, to, item[to].bytes - item[from].bytes, item[from].damage - item[to].damage};
    };
    std::vector<std::size_t> hull;
    for (const std::size_t option : front) {
        while (hull.size() > 1 && step(hull.back(), option).price() >= step(hull[hull.size() - 2], hull.back()).price())
            hull.pop_back();
        hull.push_back(option);
    }
    std::vector<Step> steps;
    for (std::size_t i = 1; i < hull.size(); ++i) steps.push_back(step(hull[i - 1], hull[i]));
    return steps;
}

class Solver {
public:
    Solver(const std::vector<KnapsackItem>& items, std::uint64_t capacity) : items_(items), capacity_(capacity) {
        for (const KnapsackItem& item : items_) {
            fronts_.push_back(pareto_front(item));
            choice_.push_back(fronts_.back().back());
            bytes_ += item[choice_.back()].bytes;
        }
    }

    std::optional<std::vector<std::size_t>> run() {
        if (bytes_ > capacity_) return std::nullopt;
        climb();
        while (improve()) {
        }
        return choice_;
    }

private:
    const KnapsackOption& chosen(std::size_t item) const { return items_[item][choice_[item]]; }

    /// The greedy prefix of hull steps; the first that no longer fits sets the multiplier.
    void climb() {
        std::vector<Step> steps;
        for (std::size_t i = 0; i < items_.size(); ++i) {
            const std::vector<Step> of_item = hull_steps(items_[i], i);
            steps.insert(steps.end(), of_item.begin(), of_item.end());
        }
        std::stable_sort(steps.begin(), steps.end(),
                         [](const Step& a, const Step& b) { return a.price() > b.price(); });
        std::vector<bool> blocked(items_.size(), false);
        for (const Step& step : steps) {
            if (blocked[step.item]) continue;
            if (bytes_ + step.bytes > capacity_) {
                if (multiplier_ == 0) multiplier_ = step.price();
                blocked[step.item] = true;
                continue;
            }
            bytes_ += step.bytes;
            choice_[step.item] = step.option;
        }
    }

    /// What an option loses against its item's best at the multiplier: an optimal choice loses at most the whole gap.
    double loss(std::size_t item, std::size_t option) const {
        const auto cost = [&](std::size_t at) {
            return items_[item][at].damage + multiplier_ * static_cast<double>(items_[item][at].bytes);
        };
        double best = cost(fronts_[item].front());
        for (const std::size_t at : fronts_[item]) best = std::min(best, cost(at));
        return cost(option) - best;
    }

    /// Damage of this choice above the relaxation's bound.
    double gap() const {
        double sum = multiplier_ * static_cast<double>(capacity_ - bytes_);
        for (std::size_t i = 0; i < items_.size(); ++i) sum += loss(i, choice_[i]);
        return sum;
    }

    /// Options that a better choice may hold, as changes against the present one.
    struct Change {
        std::size_t item = 0;
        std::size_t option = 0;
        std::int64_t bytes = 0;
        double damage = 0;
    };

    std::vector<Change> open_changes() const {
        const double most = gap();
        std::vector<Change> changes;
        for (std::size_t i = 0; i < items_.size(); ++i)
            for (const std::size_t option : fronts_[i]) {
                if (option == choice_[i] || loss(i, option) > most) continue;
                const KnapsackOption& other = items_[i][option];
                changes.push_back({i, option,
                                   static_cast<std::int64_t>(other.bytes) - static_cast<std::int64_t>(chosen(i).bytes),
                                   other.damage - chosen(i).damage});
            }
        return changes;
    }

    /// Takes the change, or pair of changes, that removes most damage within the capacity.
    bool improve() {
        const std::vector<Change> changes = open_changes();
        const auto room = static_cast<std::int64_t>(capacity_ - bytes_);
        const Change *first = nullptr, *second = nullptr;
        double best = 0;
        for (const Change& a : changes) {
            if (a.bytes <= room && a.damage < best) std::tie(best, first, second) = std::tuple(a.damage, &a, nullptr);
            if (a.bytes >= 0) continue;  // of a pair one gives bytes to the other
            for (const Change& b : changes)
                if (b.item != a.item && a.bytes + b.bytes <= room && a.damage + b.damage < best)
                    std::tie(best, first, second) = std::tuple(a.damage + b.damage, &a, &b);
        }
        for (const Change* change : {first, second})
            if (change != nullptr) {
                bytes_ = static_cast<std::uint64_t>(static_cast<std::int64_t>(bytes_) + change->bytes);
                choice_[change->item] = change->option;
            }
        return first != nullptr;
    }

    const std::vector<KnapsackItem>& items_;
    std::uint64_t capacity_;
    std::vector<std::vector<std::size_t>> fronts_;
    std::vector<std::size_t> choice_;
    std::uint64_t bytes_ = 0;
    double multiplier_ = 0;  ///< damage per byte at the margin; 0 while everything fits
};

}  // namespace

std::vector<std::size_t> pareto_front(const KnapsackItem& item) {
    std::vector<std::size_t> order(item.size());
    std::iota(order.begin(), order.end(), std::size_t{0});
    std::ranges::stable_sort(order, [&](std::size_t a, std::size_t b) {
        return std::tie(item[a].bytes, item[a].damage) < std::tie(item[b].bytes, item[b].damage);
    });
    std::vector<std::size_t> front;
    for (const std::size_t option : order)
        if (front.empty() || item[option].damage < item[front.back()].damage) front.push_back(option);
    std::reverse(front.begin(), front.end());
    return front;
}

std::optional<std::vector<std::size_t>> solve_knapsack(const std::vector<KnapsackItem>& items, std::uint64_t capacity) {
    return Solver(items, capacity).run();
}

}  // namespace plasticity
