#pragma once

#include "artifact/lora_adapter.h"

namespace plasticity {

/// The same adapter for weights whose query and key rows lie in another rotation layout: rows of B follow those of W.
LoraAdapter in_rope_layout(const LoraAdapter& adapter, const Architecture& architecture, RopeLayout from,
                           RopeLayout to);

}  // namespace plasticity
