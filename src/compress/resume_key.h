#pragma once

#include <string>

#include "model/model.h"
#include "plasticity/compress.h"

namespace plasticity {

/// Everything that the bytes of the output's tensors depend on beside what its header says (recipe, types, shapes):
/// the sources' paths, sizes and modification times, the SHA-256 of statistics and Gram matrices, this program and
/// ggml. A killed compression is continued only under the same key.
/// @throws Error (kMissing, kIo)
std::string resume_key(const CompressOptions& options, const Model& model);

}  // namespace plasticity
