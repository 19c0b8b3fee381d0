#pragma once

#include "engine/weights.h"
#include "plasticity/score.h"

namespace plasticity {

/// Everything that options alone show to be impossible, before any work. @throws Error (kUsage)
void require_possible(const ScoreOptions& options);

/// The type that weights have while scoring. @param name  "auto", "f32", "f16" or "bf16"  @throws Error (kUsage)
WeightPrecision resolve_precision(const std::string& name);

}  // namespace plasticity
