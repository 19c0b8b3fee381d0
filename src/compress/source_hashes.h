#pragma once

#include <vector>

#include "core/progress.h"
#include "model/model.h"
#include "plasticity/compress.h"

namespace plasticity {

/// SHA-256 of each of the model's files, in their order; several files are read at a time. They are known before the
/// output is begun, since its header states them: a pass of its own over the inputs, at some 2 GB/s a thread where the
/// processor computes SHA-256, 0.5 GB/s elsewhere.
/// @throws Error (kIo, also when a file is no longer the one that the model was opened from), Interrupted
std::vector<HashedFile> hash_sources(const Model& model, int threads, Progress& progress);

}  // namespace plasticity
