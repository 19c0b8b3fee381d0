#pragma once

#include "artifact/machine.h"

namespace plasticity {

/// The machine that this process runs on. @param backend  what models run on (Decoder::backend_label)
Machine this_machine(std::string backend);

}  // namespace plasticity
