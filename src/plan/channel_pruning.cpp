#include "plan/channel_pruning.h"

#include <fmt/format.h>

#include <algorithm>
#include <cassert>
#include <numeric>
#include <span>

#include "core/error.h"
#include "model/stock_form.h"
#include "plan/alignment.h"

namespace plasticity {
namespace {

constexpr std::int32_t kNarrowBlock = 32;

/// What widths are multiples of.
std::int32_t step_of(std::int32_t base_width) {
    return base_width % kWideBlock == 0 ? kWideBlock : kNarrowBlock;
}

}  // namespace

ChannelPruning::ChannelPruning(const Architecture& architecture, const std::vector<std::vector<double>>& damages)
    : removed_(architecture.layers.size(), 0), alike_(!takes_geometry_per_layer(architecture)) {
    std::vector<Order> orders;
    for (const std::vector<double>& of_layer : damages) {
        assert(std::ssize(of_layer) == architecture.layers[orders.size()].n_ff);
        Order& order = orders.emplace_back();
        order.cheapest_first.resize(of_layer.size());
        std::iota(order.cheapest_first.rbegin(), order.cheapest_first.rend(), 0);
        std::ranges::stable_sort(order.cheapest_first, {},
                                 [&](std::int32_t channel) { return of_layer[static_cast<std::size_t>(channel)]; });
        order.damages = {0};
        for (const std::int32_t channel : order.cheapest_first)
            order.damages.push_back(order.damages.back() + of_layer[static_cast<std::size_t>(channel)]);
    }
    orders_ = std::make_shared<const std::vector<Order>>(std::move(orders));
}

void ChannelPruning::prune_share(double share) {
    const double target = share * static_cast<double>(n_channels());
    auto gone = static_cast<double>(n_removed());
    bool out_of_units = false;
    while (gone < target) {
        const std::vector<ChannelUnit> candidates = units();
        out_of_units = candidates.empty();
        const ChannelUnit* best = nullptr;
        for (const ChannelUnit& unit : candidates)  // past the target by at most half of itself
            if (gone + 0.5 * unit.channels <= target &&
                (best == nullptr || unit.damage * best->channels < best->damage * unit.channels))
                best = &unit;
        if (best == nullptr) break;
        remove(*best);
        gone += best->channels;
    }
    if (out_of_units && target - gone >= 1)
        throw Error(ErrorKind::kUsage,
                    fmt::format("plan: --prune ffn={}: every layer keeps a width of one block, so at most {:.4f} of "
                                "the feed-forward channels can go; ask for less",
                                share, gone / static_cast<double>(n_channels())));
}

std::optional<ChannelUnit> ChannelPruning::unit_of(std::size_t layer) const {
    const Order& order = (*orders_)[layer];
    const auto base = static_cast<std::int32_t>(order.cheapest_first.size());
    const std::int32_t step = step_of(base), width = base - removed_[layer];
    const std::int32_t next = (width - 1) / step * step;
    if (next < step) return std::nullopt;
    const auto before = static_cast<std::size_t>(base - width), after = static_cast<std::size_t>(base - next);
    return ChannelUnit{layer, width - next, order.damages[after] - order.damages[before]};
}

std::vector<ChannelUnit> ChannelPruning::units() const {
    std::vector<ChannelUnit> found;
    for (std::size_t layer = 0; layer < removed_.size(); ++layer) {
        const std::optional<ChannelUnit> unit = unit_of(layer);
        if (!unit && alike_) return {};
        if (unit) found.push_back(*unit);
    }
    if (!alike_ || found.empty()) return found;
    ChannelUnit all;
    for (const ChannelUnit& unit : found) {
        all.channels += unit.channels;
        all.damage += unit.damage;
    }
    return {all};
}

void ChannelPruning::remove(const ChannelUnit& unit) {
    if (!alike_) {
        removed_[unit.layer] += unit.channels;
        return;
    }
    for (std::size_t layer = 0; layer < removed_.size(); ++layer) removed_[layer] += unit_of(layer)->channels;
}

std::int64_t ChannelPruning::n_removed() const {
    return std::accumulate(removed_.begin(), removed_.end(), std::int64_t{0});
}

std::int64_t ChannelPruning::n_removed(std::size_t layer) const {
    return removed_.empty() ? 0 : removed_[layer];
}

std::int64_t ChannelPruning::n_channels() const {
    std::int64_t n = 0;
    for (std::size_t layer = 0; layer < removed_.size(); ++layer) n += std::ssize((*orders_)[layer].cheapest_first);
    return n;
}

double ChannelPruning::damage() const {
    double sum = 0;
    for (std::size_t layer = 0; layer < removed_.size(); ++layer) sum += damage(layer);
    return sum;
}

double ChannelPruning::damage(std::size_t layer) const {
    return removed_.empty() ? 0 : (*orders_)[layer].damages[static_cast<std::size_t>(removed_[layer])];
}

std::optional<FeedForwardTopology> ChannelPruning::topology(std::size_t layer) const {
    if (n_removed(layer) == 0) return std::nullopt;
    const auto& order = (*orders_)[layer].cheapest_first;
    std::vector<std::int32_t> kept(order.begin() + removed_[layer], order.end());
    std::ranges::sort(kept);
    return FeedForwardTopology::of(kept, static_cast<std::int32_t>(order.size()));
}

}  // namespace plasticity
