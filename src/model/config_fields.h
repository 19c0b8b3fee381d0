#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>

#include "core/error.h"

namespace plasticity {

// Fields of Hugging Face's JSON files. null counts as absent, as it does in transformers.

/// @throws Error (kMalformed) when the field is there and is no integer that fits
std::optional<std::int32_t> integer_field(const nlohmann::json& object, std::string_view key);
/// @throws Error (kMalformed) when the field is there and is no number
std::optional<double> real_field(const nlohmann::json& object, std::string_view key);
/// @throws Error (kMalformed) when the field is there and is no boolean
std::optional<bool> boolean_field(const nlohmann::json& object, std::string_view key);
/// @throws Error (kMalformed) when the field is there and is no string
std::optional<std::string> text_field(const nlohmann::json& object, std::string_view key);
/// nullptr when absent or null.
const nlohmann::json* field(const nlohmann::json& object, std::string_view key);
/// The object that describes RoPE: `rope_parameters` (transformers 5) or `rope_scaling`; nullptr when neither is there.
/// Where there is one for each kind of block, that of the blocks which see everything.
/// @throws Error (kMalformed) when it is no object
const nlohmann::json* rope_fields(const nlohmann::json& config);
/// Its `rope_type` (or the older `type`); "default" where unnamed.
std::string rope_type_of(const nlohmann::json& rope);
/// The shortest decimal that reads back as the same float: 1e-05, not 9.999999747378752e-06.
double shortest_decimal(float value);

}  // namespace plasticity
