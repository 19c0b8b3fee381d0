#include "plan/prune_order.h"

#include <utility>

namespace plasticity {

PruneOrder::PruneOrder(const MeasuredDamage& damage, HeadPruning heads) : damage_(&damage), heads_(std::move(heads)) {
    reprice_all();
}

std::optional<PruneUnit> PruneOrder::next() const {
    const Priced* best = nullptr;
    for (const std::vector<Priced>& of_layer : priced_)
        for (const Priced& candidate : of_layer)
            if (best == nullptr || candidate.price < best->price) best = &candidate;
    if (best == nullptr) return std::nullopt;
    return best->unit;
}

void PruneOrder::remove(const PruneUnit& unit) {
    heads_.remove(unit);
    if (heads_.stays_alike())
        reprice_all();
    else
        reprice(unit.layer);
}

void PruneOrder::reprice(std::size_t layer) {
    priced_[layer].clear();
    const LayerHeads& now = heads_.layers()[layer];
    const double before = damage_->of_removed(layer, now);
    for (const PruneUnit& unit : heads_.units_of(layer)) {
        LayerHeads without = now;
        without.remove(unit);
        priced_[layer].push_back({unit, (damage_->of_removed(layer, without) - before) / unit.heads});
    }
}

void PruneOrder::reprice_all() {
    priced_.assign(heads_.layers().size(), {});
    if (!heads_.stays_alike()) {
        for (std::size_t layer = 0; layer < priced_.size(); ++layer) reprice(layer);
        return;
    }
    const double before = damage_->of_removed(heads_);
    for (const PruneUnit& unit : heads_.units()) {
        HeadPruning without = heads_;
        without.remove(unit);
        priced_.front().push_back({unit, (damage_->of_removed(without) - before) / unit.heads});
    }
}

}  // namespace plasticity
