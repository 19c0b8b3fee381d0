#pragma once

#include <nlohmann/json_fwd.hpp>

#include "plasticity/fine_tune_record.h"  // IWYU pragma: export

namespace plasticity {

nlohmann::ordered_json fine_tune_json(const FineTuneRecord& record);
/// @throws Error (kMalformed)
FineTuneRecord read_fine_tune(const nlohmann::json& json);

}  // namespace plasticity
