#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>

#include "plasticity/quality.h"  // IWYU pragma: export

namespace plasticity {

/// As report.json and frontier.json have it.
nlohmann::ordered_json quality_json(const QualityPanel& quality);
/// @throws Error (kMalformed)
QualityPanel read_quality(const nlohmann::json& json, const std::string& where);

}  // namespace plasticity
