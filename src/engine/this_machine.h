#pragma once

#include <string>
#include <vector>

#include "artifact/machine.h"

namespace plasticity {

/// Those of the CPU that ggml was built for and finds, by its names: "AVX2", "AVX512_BF16".
std::vector<std::string> instruction_sets();

/// The machine that this process runs on. @param backend  what models run on (Decoder::backend_label)
Machine this_machine(std::string backend);

}  // namespace plasticity
