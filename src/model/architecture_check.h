#pragma once

#include "model/architecture.h"
#include "model/attempt.h"

namespace plasticity {

/// Blocks that stock llama.cpp has room for (LLAMA_MAX_LAYERS).
inline constexpr std::int32_t kMaxLayers = 512;

/// What must hold for every source: counts in range, heads a multiple of KV heads, finite numbers, uniform geometry
/// outside deci. The upper bounds only keep later arithmetic far from overflow.
void check_architecture(const Architecture& architecture, ProblemList& problems);

}  // namespace plasticity
