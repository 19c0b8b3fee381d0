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
/// @throws Error (kMalformed) when it is no object
const nlohmann::json* rope_fields(const nlohmann::json& config);
/// Its `rope_type` (or the older `type`); "default" where unnamed.
std::string rope_type_of(const nlohmann::json& rope);

}  // namespace plasticity
