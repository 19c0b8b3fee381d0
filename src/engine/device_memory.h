#pragma once

#include <cstdint>

#include "core/progress.h"
#include "engine/backend.h"
#include "engine/offload.h"
#include "model/architecture.h"

namespace plasticity {

/// What a device's kernels take beside the graphs: the largest matrix as they convert it to F16 for many tokens, and
/// some for libraries and scratch.
std::uint64_t kernel_bytes(const Architecture& architecture);

/// As much of a model as the device's free memory holds now, or as was asked for; says so.
/// @pre backend.has_device()
Offload offload_to_device(const OffloadSizes& sizes, const Backend& backend, const BackendChoice& choice,
                          Progress& progress);

}  // namespace plasticity
