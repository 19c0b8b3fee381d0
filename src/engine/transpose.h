#pragma once

#include <ggml.h>

namespace plasticity {

/// {n, m} → {m, n}, copied: ggml_mul_mat's first operand must lie row by row.
inline ggml_tensor* contiguous_transpose(ggml_context* context, ggml_tensor* x) {
    return ggml_cont(context, ggml_transpose(context, x));
}

}  // namespace plasticity
