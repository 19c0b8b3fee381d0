#pragma once

#include <ggml.h>

#include <cstddef>
#include <optional>
#include <span>
#include <string_view>

#include "io/safetensors_reader.h"

namespace plasticity {

/// The type in which ggml holds the very bytes of a safetensors dtype: F32, F16 or BF16. @returns nothing for others
std::optional<ggml_type> type_of_dtype(std::string_view dtype);

/// F8_E4M3 or F8_E5M2: weights that are read as F32, since ggml has no such types.
bool is_float8(std::string_view dtype);

/// What a weight of this dtype is read as. @returns nothing where this program reads no weights of it
std::optional<ggml_type> weight_type_of_dtype(std::string_view dtype);

/// What weights may be multiplied by: F32, F16, BF16 or F8_E8M0.
bool is_scale_dtype(std::string_view dtype);

/// Values of F32, F16, BF16 or an F8 dtype, exactly. @param stored  of as many elements as `values`
void convert_to_f32(std::string_view dtype, std::span<const std::byte> stored, std::span<float> values);

/// Rows of a tensor of one or two dimensions; a vector is one row.
std::int64_t rows_in(const SafetensorsEntry& entry);

}  // namespace plasticity
