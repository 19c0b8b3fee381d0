#pragma once

#include <ggml.h>

#include <optional>
#include <string>
#include <string_view>

namespace plasticity {

/// A weight type by ggml's name ("q4_K", "f16"), case ignored; the suffix of llama.cpp's mixes (`_S`, `_M`, `_L`) may
/// follow a K type ("Q3_K_S"). Nothing for names and types (integers, f64) that hold no weights.
std::optional<ggml_type> parse_weight_type(std::string_view name);

/// A type that keys and values may be kept in: f16, q8_0 or q4_0.
std::optional<ggml_type> parse_kv_type(std::string_view name);

/// Names that parse_weight_type knows, for messages.
std::string weight_type_names();

/// Bits that a weight takes, block scales included: 4.5 for q4_K.
double bits_per_weight(ggml_type type);

}  // namespace plasticity
