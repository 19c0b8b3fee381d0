#pragma once

#include "engine/weights.h"
#include "plasticity/score.h"

namespace plasticity {

/// Everything that options alone show to be impossible, before any work. @throws Error (kUsage)
void require_possible(const ScoreOptions& options);

/// The type that weights have while scoring. "auto" is BF16 where the CPUs of all processes have instructions for it,
/// else F16. @throws Error (kUsage, kIo)
WeightPrecision resolve_precision(const ScoreOptions& options);

}  // namespace plasticity
