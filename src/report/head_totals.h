#pragma once

#include <cstdint>

#include "artifact/recipe.h"

namespace plasticity {

/// Heads of all layers together, of the base and of what stays.
struct HeadTotals {
    std::int64_t kept = 0, of = 0;        ///< query heads
    std::int64_t kv_kept = 0, kv_of = 0;  ///< KV groups
    std::int64_t layers_touched = 0;      ///< that lose a query head
};

HeadTotals count_heads(const Topology& topology);

}  // namespace plasticity
