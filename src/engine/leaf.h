#pragma once

#include <ggml-backend.h>
#include <ggml.h>

namespace plasticity {

/// A computed tensor's memory as a leaf of another graph: as a node it would be computed again.
inline ggml_tensor* leaf_of(ggml_context* context, const ggml_tensor* held) {
    ggml_tensor* leaf = ggml_new_tensor(context, held->type, GGML_MAX_DIMS, held->ne);
    ggml_backend_tensor_alloc(held->buffer, leaf, held->data);
    return leaf;
}

}  // namespace plasticity
