#pragma once

#include <filesystem>
#include <memory>

#include "model/model.h"

namespace plasticity {

/// @throws Error as open_model does
std::unique_ptr<Model> open_gguf_model(const std::filesystem::path& path);

}  // namespace plasticity
