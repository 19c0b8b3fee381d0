#pragma once

#include <ggml.h>

namespace plasticity {

/// Whether this CPU has instructions that multiply BF16 and sum in F32 (AVX512-BF16), and this program uses them.
bool multiplies_bf16();

/// matrix · x by a kernel for many tokens, on the CPU alone: both factors BF16, sums F32. It keeps what it reads again
/// in registers and the second-level cache, and so multiplies a quarter faster than ggml, which takes rows as they lie.
/// Only where multiplies_bf16(). The result does not depend on the number of threads.
/// @param matrix  BF16 {columns, rows}; an even number of columns
/// @param x       F32 {columns, tokens}
/// @returns F32 {rows, tokens}
ggml_tensor* build_bf16_product(ggml_context* context, ggml_tensor* matrix, ggml_tensor* x);

/// matrixᵀ · gradient likewise, from the matrix as it is: no transpose of it need be held.
/// @param matrix    BF16 {columns, rows}
/// @param gradient  F32 {rows, tokens}
/// @returns F32 {columns, tokens}, to the bit what build_bf16_product gives for the transpose
ggml_tensor* build_bf16_product_back(ggml_context* context, ggml_tensor* matrix, ggml_tensor* gradient);

}  // namespace plasticity
