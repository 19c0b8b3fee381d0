#pragma once

#include <cstdint>
#include <optional>

#include "verify/subject.h"

namespace plasticity {

/// "file size": exactly what the recipe announced (less where the tokenizer was left out), and within the size asked
/// for. Without a recipe: passes, stating the size.
Check check_file_size(const Subject& subject);

/// "memory": weights, KV cache at the planned context and compute buffers fit the device.
/// @param device  instead of the recipe's; without either the check passes, stating what is needed
Check check_memory(const Subject& subject, const std::optional<Device>& device);

}  // namespace plasticity
