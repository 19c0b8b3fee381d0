#pragma once

#include <optional>
#include <vector>

#include "plan/head_pruning.h"
#include "plan/recipe_draft.h"

namespace plasticity {

/// Which unit is predicted to do least damage for each head that goes, while one after the other goes. After a removal
/// only the prices of the block that it changed are worked out anew; a large model loses a thousand units.
class PruneOrder {
public:
    /// @param damage  outlives this
    PruneOrder(const MeasuredDamage& damage, HeadPruning heads);

    const HeadPruning& heads() const { return heads_; }
    /// Of equal ones the first; nothing when every block is at its minimum.
    std::optional<PruneUnit> next() const;
    void remove(const PruneUnit& unit);

private:
    struct Priced {
        PruneUnit unit;
        double price = 0;  ///< nats per token of each head
    };
    void reprice(std::size_t layer);
    void reprice_all();

    const MeasuredDamage* damage_;
    HeadPruning heads_;
    std::vector<std::vector<Priced>> priced_;  ///< by layer; all in the first where blocks stay alike
};

}  // namespace plasticity
