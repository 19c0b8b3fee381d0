#pragma once

#include <ggml.h>

#include <cstddef>
#include <span>

namespace plasticity {

/// Can stored rows of this type be multiplied by a factor as they are: F32, F16, BF16, and blocks whose scales are F16?
bool scales_in_place(ggml_type type);

/// Multiplies what stored rows stand for: the F16 scales (and minima) of every block, or every element, are rounded
/// anew; codes stay. @param rows  whole blocks  @throws Error (kInternal) for a type that has no such scales, or parts
/// of a block
void scale_rows(ggml_type type, std::span<std::byte> rows, float factor);

}  // namespace plasticity
