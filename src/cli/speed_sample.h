#pragma once

#include <filesystem>
#include <string>

#include "cli/command.h"
#include "plasticity/infer.h"

namespace plasticity {

/// A few dozen tokens of a finished file, the likeliest ones: what it says, and how fast.
InferResult speed_sample(const std::filesystem::path& model, const std::string& prompt, const CommonOptions& common,
                         const BackendChoice& backend, Progress& progress);

}  // namespace plasticity
