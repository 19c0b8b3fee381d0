#pragma once

#include <cstdint>

#include "artifact/lora_adapter.h"
#include "plasticity/score.h"

namespace plasticity {

/// A new adapter, which changes nothing yet: A uniform in ±1/√columns (Kaiming's with a = √5, as peft begins), B zero.
/// Every value follows from the seed and its place.
/// @throws Error (kUsage for ranks and targets that cannot be)
LoraAdapter initial_adapter(const Architecture& architecture, const FineTuneOptions& options, std::uint64_t seed);

}  // namespace plasticity
