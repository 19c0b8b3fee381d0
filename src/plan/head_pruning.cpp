#include "plan/head_pruning.h"

#include <fmt/format.h>

#include <algorithm>
#include <numeric>

#include "core/error.h"
#include "model/stock_form.h"
#include "plan/tiers.h"

namespace plasticity {
namespace {

constexpr std::int32_t kLeastGroups = 2;
constexpr std::int32_t kLeastHeads = 4;

std::int32_t divide_up(std::int32_t a, std::int32_t b) {
    return (a + b - 1) / b;
}

std::int32_t base_head_count(const LayerHeads& layer) {
    return static_cast<std::int32_t>(layer.scores.size());
}

std::int32_t least_heads(const LayerHeads& layer) {
    return std::min(kLeastHeads, base_head_count(layer));
}

/// With one query head a group (no grouping), four heads need four groups.
std::int32_t least_groups(const LayerHeads& layer) {
    return std::max(std::min(kLeastGroups, layer.base_groups), divide_up(least_heads(layer), layer.group_size()));
}

double kept_sum(const LayerHeads& layer, std::int32_t group) {
    double sum = 0;
    for (const std::int32_t head : layer.kept_of(group)) sum += layer.scores[static_cast<std::size_t>(head)];
    return sum;
}

/// Groups from best to worst by what they keep; of equal ones the lower index is the better.
std::vector<std::int32_t> groups_best_first(const LayerHeads& layer, std::vector<std::int32_t> groups) {
    std::vector<double> sums(static_cast<std::size_t>(layer.base_groups), 0.0);
    for (const std::int32_t group : groups) sums[static_cast<std::size_t>(group)] = kept_sum(layer, group);
    std::stable_sort(groups.begin(), groups.end(), [&](std::int32_t a, std::int32_t b) {
        return sums[static_cast<std::size_t>(a)] > sums[static_cast<std::size_t>(b)];
    });
    return groups;
}

void keep_best_groups(LayerHeads& layer, std::size_t count) {
    auto groups = groups_best_first(layer, layer.groups);
    groups.resize(std::min(count, groups.size()));
    std::sort(groups.begin(), groups.end());
    layer.groups = std::move(groups);
}

std::int32_t heads_alive(const LayerHeads& layer, std::int32_t group) {
    const auto first = layer.scores.begin() + group * layer.group_size();
    return static_cast<std::int32_t>(
        std::count_if(first, first + layer.group_size(), [](double score) { return score >= kRemovedBelow; }));
}

void prune_layer_by_tiers(LayerHeads& layer) {
    const auto ranked = groups_best_first(layer, layer.groups);
    std::vector<std::int32_t> living, dead;
    std::int32_t most_alive = 0;
    for (const std::int32_t group : ranked) {
        const std::int32_t alive = heads_alive(layer, group);
        most_alive = std::max(most_alive, alive);
        (alive > 0 ? living : dead).push_back(group);
    }
    for (const std::int32_t group : dead)
        if (static_cast<std::int32_t>(living.size()) < least_groups(layer)) living.push_back(group);
    std::sort(living.begin(), living.end());
    layer.groups = std::move(living);
    const std::int32_t least = divide_up(least_heads(layer), static_cast<std::int32_t>(layer.groups.size()));
    layer.heads_per_group = std::max(most_alive, least);
}

std::vector<std::int32_t> all_groups(const LayerHeads& layer) {
    std::vector<std::int32_t> groups(static_cast<std::size_t>(layer.base_groups));
    std::iota(groups.begin(), groups.end(), 0);
    return groups;
}

/// What every block can lose at once; `units` are of blocks with the same numbers, so all or none have each kind.
std::vector<PruneUnit> of_all_blocks(const std::vector<PruneUnit>& units) {
    std::vector<PruneUnit> sums;
    for (const PruneUnit& unit : units) {
        const auto same_kind = std::find_if(sums.begin(), sums.end(), [&](const PruneUnit& sum) {
            return sum.group.has_value() == unit.group.has_value();
        });
        if (same_kind == sums.end()) {
            sums.push_back(unit);
            continue;
        }
        same_kind->cost =
            (same_kind->cost * same_kind->heads + unit.cost * unit.heads) / (same_kind->heads + unit.heads);
        same_kind->heads += unit.heads;
    }
    return sums;
}

void add_units(const LayerHeads& layer, std::size_t index, std::vector<PruneUnit>& units) {
    const auto groups = static_cast<std::int32_t>(layer.groups.size());
    const std::int32_t heads = layer.heads_per_group;
    if (heads > 1 && groups * (heads - 1) >= least_heads(layer)) {
        double sum = 0;
        for (const std::int32_t group : layer.groups)
            sum += layer.scores[static_cast<std::size_t>(layer.kept_of(group).back())];
        units.push_back({index, std::nullopt, groups, sum / groups});
    }
    if (groups > least_groups(layer) && (groups - 1) * heads >= least_heads(layer)) {
        const std::int32_t worst = groups_best_first(layer, layer.groups).back();
        units.push_back({index, worst, heads, kept_sum(layer, worst) / heads});
    }
}

}  // namespace

std::int32_t LayerHeads::group_size() const {
    return base_groups > 0 ? static_cast<std::int32_t>(scores.size()) / base_groups : 0;
}

std::vector<std::int32_t> LayerHeads::kept_of(std::int32_t group) const {
    std::vector<std::int32_t> heads(static_cast<std::size_t>(group_size()));
    std::iota(heads.begin(), heads.end(), group * group_size());
    std::stable_sort(heads.begin(), heads.end(), [&](std::int32_t a, std::int32_t b) {
        return scores[static_cast<std::size_t>(a)] > scores[static_cast<std::size_t>(b)];
    });
    heads.resize(static_cast<std::size_t>(heads_per_group));
    return heads;
}

std::vector<std::int32_t> LayerHeads::kept() const {
    std::vector<std::int32_t> heads;
    for (const std::int32_t group : groups) {
        const auto of_group = kept_of(group);
        heads.insert(heads.end(), of_group.begin(), of_group.end());
    }
    std::sort(heads.begin(), heads.end());
    return heads;
}

double LayerHeads::mean_kept_score() const {
    double sum = 0;
    for (const std::int32_t head : kept()) sum += scores[static_cast<std::size_t>(head)];
    return n_heads() > 0 ? sum / n_heads() : 0;
}

double LayerHeads::mean_score() const {
    const double sum = std::accumulate(scores.begin(), scores.end(), 0.0);
    return scores.empty() ? 0 : sum / static_cast<double>(scores.size());
}

void LayerHeads::remove(const PruneUnit& unit) {
    if (unit.is_everything)
        groups.clear();
    else if (unit.group)
        std::erase(groups, *unit.group);
    else
        --heads_per_group;
}

HeadPruning::HeadPruning(const Architecture& architecture, const std::vector<std::vector<double>>& scores)
    : alike_(!takes_geometry_per_layer(architecture)) {
    for (std::size_t i = 0; i < architecture.layers.size(); ++i) {
        LayerHeads& layer = layers_.emplace_back();
        layer.scores = scores[i];
        layer.base_groups = architecture.layers[i].n_head_kv;
        layer.groups = all_groups(layer);
        layer.heads_per_group = layer.group_size();
    }
}

void HeadPruning::prune_by_tiers() {
    for (LayerHeads& layer : layers_)
        if (layer.base_groups > 0) prune_layer_by_tiers(layer);
    if (alike_) make_alike();
}

/// No block keeps less than it would on its own.
void HeadPruning::make_alike() {
    std::size_t groups = 0;
    std::int32_t heads_per_group = 0;
    for (const LayerHeads& layer : layers_) {
        groups = std::max(groups, layer.groups.size());
        heads_per_group = std::max(heads_per_group, layer.heads_per_group);
    }
    for (LayerHeads& layer : layers_) {
        layer.groups = all_groups(layer);
        layer.heads_per_group = heads_per_group;
        keep_best_groups(layer, groups);
    }
}

void HeadPruning::prune_groups(std::int32_t n) {
    std::int32_t most = 0;
    for (const LayerHeads& layer : layers_)
        if (layer.base_groups > 0) most = std::max(most, layer.base_groups - least_groups(layer));
    if (n > most)
        throw Error(
            ErrorKind::kUsage,
            fmt::format("plan: --prune kv-groups={}: every layer keeps at least {} KV groups and {} query heads, "
                        "so at most {} can go; ask for fewer, or for heads=F",
                        n, kLeastGroups, kLeastHeads, most));
    for (LayerHeads& layer : layers_)
        if (layer.base_groups > 0)
            keep_best_groups(layer, static_cast<std::size_t>(std::max(least_groups(layer), layer.base_groups - n)));
}

void HeadPruning::prune_share(double share) {
    const double target = share * static_cast<double>(base_heads());
    double removed = 0;
    bool out_of_units = false;
    while (removed < target) {
        const std::vector<PruneUnit> candidates = units();
        out_of_units = candidates.empty();
        const PruneUnit* best = nullptr;
        for (const PruneUnit& unit : candidates)  // past the target by at most half of itself
            if (removed + 0.5 * unit.heads <= target && (!best || unit.cost < best->cost)) best = &unit;
        if (!best) break;
        remove(*best);
        removed += best->heads;
    }
    if (out_of_units && target - removed >= 1)
        throw Error(
            ErrorKind::kUsage,
            fmt::format("plan: --prune heads={}: every layer keeps at least {} KV groups and {} query heads, so "
                        "at most {:.4f} can go; ask for less",
                        share, kLeastGroups, kLeastHeads, removed / static_cast<double>(base_heads())));
}

std::optional<PruneUnit> HeadPruning::cheapest_unit() const {
    const std::vector<PruneUnit> candidates = units();
    const auto cheapest = std::min_element(candidates.begin(), candidates.end(),
                                           [](const PruneUnit& a, const PruneUnit& b) { return a.cost < b.cost; });
    if (cheapest == candidates.end()) return std::nullopt;
    return *cheapest;
}

void HeadPruning::remove(const PruneUnit& unit) {
    if (!alike_) {
        layers_[unit.layer].remove(unit);
        return;
    }
    for (LayerHeads& layer : layers_)
        if (unit.group)
            keep_best_groups(layer, layer.groups.size() - 1);
        else
            --layer.heads_per_group;
}

std::int64_t HeadPruning::n_heads() const {
    std::int64_t heads = 0;
    for (const LayerHeads& layer : layers_) heads += layer.n_heads();
    return heads;
}

std::int64_t HeadPruning::base_heads() const {
    std::int64_t heads = 0;
    for (const LayerHeads& layer : layers_) heads += base_head_count(layer);
    return heads;
}

Architecture HeadPruning::pruned(const Architecture& base) const {
    Architecture result = base;
    for (std::size_t i = 0; i < layers_.size(); ++i) {
        result.layers[i].n_head = layers_[i].n_heads();
        result.layers[i].n_head_kv = static_cast<std::int32_t>(layers_[i].groups.size());
        result.layers[i].n_ff -= static_cast<std::int32_t>(channels_.n_removed(i));
    }
    return result;
}

std::vector<LayerTopology> HeadPruning::topology() const {
    std::vector<LayerTopology> result;
    for (const LayerHeads& layer : layers_) {
        LayerTopology& topology = result.emplace_back();
        topology.layer_index = static_cast<std::int32_t>(result.size()) - 1;
        topology.num_heads = layer.n_heads();
        topology.num_kv_heads = static_cast<std::int32_t>(layer.groups.size());
        topology.retained_head_indices = layer.kept();
        topology.retained_kv_head_indices = layer.groups;
        topology.head_scores = layer.scores;
        topology.feed_forward = channels_.topology(result.size() - 1);
    }
    return result;
}

std::vector<PruneUnit> HeadPruning::units_of(std::size_t layer) const {
    std::vector<PruneUnit> result;
    if (layers_[layer].base_groups > 0) add_units(layers_[layer], layer, result);
    return result;
}

std::optional<PruneUnit> HeadPruning::whole_attention(std::size_t layer) const {
    const LayerHeads& of_layer = layers_[layer];
    const auto with = std::ranges::count_if(layers_, [](const LayerHeads& any) { return any.n_heads() > 0; });
    if (alike_ || of_layer.n_heads() == 0 || 2 * with <= std::ssize(layers_)) return std::nullopt;
    return PruneUnit{.layer = layer,
                     .group = std::nullopt,
                     .heads = of_layer.n_heads(),
                     .cost = of_layer.mean_kept_score(),
                     .is_everything = true};
}

std::vector<PruneUnit> HeadPruning::units() const {
    std::vector<PruneUnit> result;
    for (std::size_t i = 0; i < layers_.size(); ++i)
        if (layers_[i].base_groups > 0) add_units(layers_[i], i, result);
    return alike_ ? of_all_blocks(result) : result;
}

HeadPruning choose_heads(const Architecture& architecture, const std::vector<std::vector<double>>& scores,
                         const PruneRequest& request) {
    HeadPruning heads(architecture, scores);
    switch (request.kind) {
        case PruneRequest::Kind::kOff:
            break;
        case PruneRequest::Kind::kAuto:
            heads.prune_by_tiers();
            break;
        case PruneRequest::Kind::kKvGroups:
            heads.prune_groups(static_cast<std::int32_t>(request.amount));
            break;
        case PruneRequest::Kind::kHeads:
            heads.prune_share(request.amount);
            break;
    }
    return heads;
}

}  // namespace plasticity
