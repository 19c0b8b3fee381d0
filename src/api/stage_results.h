#pragma once

#include <filesystem>
#include <nlohmann/json_fwd.hpp>
#include <optional>

#include "plasticity/compress.h"
#include "plasticity/gate_gradients.h"
#include "plasticity/infer.h"

namespace plasticity {

// What stages say of their work, as one JSON object each: what the commands print with --json, and what the C API
// returns. Keys are in a fixed order. Plans and verifications are artifacts and have texts of their own.

/// @param output   gate_gradients.json  @param adapter  the folder of an adapter that was written
nlohmann::ordered_json score_result_json(const GateGradients& gradients, const std::filesystem::path& output,
                                         const std::optional<std::filesystem::path>& adapter);

nlohmann::ordered_json compress_result_json(const CompressResult& done, const CompressOptions& options);

nlohmann::ordered_json infer_result_json(const InferResult& result, const InferOptions& options);

/// How many times smaller the output is than the model was.
double compression_ratio(const CompressResult& done);

}  // namespace plasticity
