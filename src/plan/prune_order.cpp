#include "plan/prune_order.h"

#include <algorithm>
#include <utility>

#include "artifact/output_layout.h"
#include "artifact/type_names.h"

namespace plasticity {
namespace {

/// What the budget leaves for each weight, as if nothing else took memory; between the floor and 16.
double bits_within_budget(const PlanInputs& inputs, const HeadPruning& heads) {
    const double bits = 8 * static_cast<double>(limit_bytes(inputs, heads)) /
                        static_cast<double>(output_parameters(inputs.model, heads));
    return std::clamp(bits, bits_per_weight(inputs.goal.floor), 16.0);
}

}  // namespace

PruneOrder::PruneOrder(const PlanInputs& inputs, HeadPruning heads)
    : inputs_(&inputs), heads_(std::move(heads)), bits_(bits_within_budget(inputs, heads_)) {
    reprice_all();
}

std::optional<PruneUnit> PruneOrder::next() const {
    const Priced* best = nullptr;
    for (const std::vector<Priced>& of_layer : priced_)
        for (const Priced& candidate : of_layer)
            if ((best == nullptr || candidate.price < best->price) && is_possible(candidate.unit)) best = &candidate;
    if (best == nullptr) return std::nullopt;
    return best->unit;
}

void PruneOrder::remove(const PruneUnit& unit) {
    heads_.remove(unit);
    if (heads_.stays_alike()) {
        reprice_all();
        return;
    }
    bytes_ = bytes_of(heads_);
    reprice(unit.layer);
}

/// Prices of blocks that nothing was removed from may be of units that others have ruled out since.
bool PruneOrder::is_possible(const PruneUnit& unit) const {
    return !unit.is_everything || heads_.whole_attention(unit.layer).has_value();
}

PruneOrder::Priced PruneOrder::priced(const PruneUnit& unit, double damage) const {
    HeadPruning without = heads_;
    without.remove(unit);
    return {unit, damage / (bytes_ - bytes_of(without))};
}

void PruneOrder::reprice(std::size_t layer) {
    priced_[layer].clear();
    const MeasuredDamage& damage = *inputs_->damage;
    const LayerHeads& now = heads_.layers()[layer];
    const double before = damage.of_removed(layer, now);
    std::vector<PruneUnit> units = heads_.units_of(layer);
    if (const std::optional<PruneUnit> everything = heads_.whole_attention(layer)) units.push_back(*everything);
    for (const PruneUnit& unit : units) {
        LayerHeads without = now;
        without.remove(unit);
        priced_[layer].push_back(priced(unit, damage.of_removed(layer, without) - before));
    }
}

void PruneOrder::reprice_all() {
    bytes_ = bytes_of(heads_);
    priced_.assign(heads_.layers().size(), {});
    if (!heads_.stays_alike()) {
        for (std::size_t layer = 0; layer < priced_.size(); ++layer) reprice(layer);
        return;
    }
    const MeasuredDamage& damage = *inputs_->damage;
    const double before = damage.of_removed(heads_);
    for (const PruneUnit& unit : heads_.units()) {
        HeadPruning without = heads_;
        without.remove(unit);
        priced_.front().push_back(priced(unit, damage.of_removed(without) - before));
    }
}

double PruneOrder::bytes_of(const HeadPruning& heads) const {
    const double weights = static_cast<double>(output_parameters(inputs_->model, heads)) * bits_ / 8;
    if (inputs_->goal.bounds_file()) return weights;
    return weights + static_cast<double>(kv_cache_bytes(heads.pruned(inputs_->model.architecture()),
                                                        inputs_->goal.context_length, inputs_->goal.kv_type));
}

}  // namespace plasticity
