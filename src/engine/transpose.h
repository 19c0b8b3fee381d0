#pragma once

#include <ggml.h>

namespace plasticity {

/// {n, m, …} → {m, n, …}, F32, copied: ggml_mul_mat's first operand must lie row by row.
/// @param on_cpu  the graph runs there alone: by blocks, where ggml copies a number at a time
ggml_tensor* contiguous_transpose(ggml_context* context, ggml_tensor* x, bool on_cpu);

}  // namespace plasticity
