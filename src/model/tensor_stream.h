#pragma once

#include <ggml.h>

#include <cstddef>
#include <functional>
#include <span>

#include "core/progress.h"
#include "model/model.h"

namespace plasticity {

/// How a weight is wanted.
struct TensorForm {
    ggml_type type = GGML_TYPE_F32;              ///< F32, F16, BF16, or the type it is stored in
    RopeLayout rope_layout = RopeLayout::kNeox;  ///< of query and key rows
    float added = 0;                             ///< to every weight, before it is rounded
};

/// Hands the bytes of a weight to `write`, in order and in tiles of a few MiB; queries and keys are turned to the
/// wanted RoPE layout on the way. Advances `progress` by the elements of the tensor.
/// @throws Error (kMalformed at a value that is not finite, naming it; kUsage at one that F16 cannot hold; kIo)
void stream_tensor(const Model& model, const ModelTensor& tensor, const TensorForm& form,
                   const std::function<void(std::span<const std::byte>)>& write, Progress& progress);

}  // namespace plasticity
