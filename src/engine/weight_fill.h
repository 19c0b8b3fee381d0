#pragma once

#include "engine/backend.h"
#include "model/model.h"

namespace plasticity {

/// Reads a weight into a tensor of its shape: blocks as they are where the types are the same, otherwise values
/// converted to F32, F16 or BF16.
/// @throws Error (kMalformed where a weight is no finite number, kIo)
void fill_weight(const Model& model, const ModelTensor& source, const Backend& backend, ggml_tensor* target);

/// Fills {rows, cols} from {cols, rows} of the same unquantised type.
void fill_transposed(const ggml_tensor* from, const Backend& backend, ggml_tensor* target);

}  // namespace plasticity
