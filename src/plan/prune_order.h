#pragma once

#include <optional>
#include <vector>

#include "plan/head_pruning.h"
#include "plan/recipe_draft.h"

namespace plasticity {

/// Which unit is predicted to do least damage for each byte that it frees, while one after the other goes: damage for
/// bytes is what types are exchanged by, too. Bytes are those of weights, at as many bits as the budget leaves for
/// each, and where the budget is a device's those of the KV cache. All that is left of a block's attention is such a
/// unit, too. After a removal only the prices of the block that it changed are worked out anew; a large model loses a
/// thousand units.
class PruneOrder {
public:
    /// @param inputs  outlives this; has damage
    PruneOrder(const PlanInputs& inputs, HeadPruning heads);

    const HeadPruning& heads() const { return heads_; }
    /// Of equal ones the first; nothing when every block is at its minimum.
    std::optional<PruneUnit> next() const;
    void remove(const PruneUnit& unit);

private:
    struct Priced {
        PruneUnit unit;
        double price = 0;  ///< nats per token of each byte
    };
    bool is_possible(const PruneUnit& unit) const;
    Priced priced(const PruneUnit& unit, double damage) const;
    void reprice(std::size_t layer);
    void reprice_all();
    double bytes_of(const HeadPruning& heads) const;

    const PlanInputs* inputs_;
    HeadPruning heads_;
    double bits_;                              ///< of a weight
    double bytes_ = 0;                         ///< of heads_
    std::vector<std::vector<Priced>> priced_;  ///< by layer; all in the first where blocks stay alike
};

}  // namespace plasticity
