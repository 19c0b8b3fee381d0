#pragma once

#include <filesystem>
#include <nlohmann/json_fwd.hpp>
#include <string>

namespace plasticity {

/// Opens whatever lies there by the loader that the program itself uses, so that what is malformed is reported in full.
/// @returns an object whose "kind" says what it is: "model", "statistics", "gate_gradients" or "recipe"
/// @throws Error (kMissing, kMalformed, kIo)
nlohmann::ordered_json inspect(const std::filesystem::path& path);

/// The same for a terminal.
std::string inspection_text(const nlohmann::ordered_json& inspection);

}  // namespace plasticity
