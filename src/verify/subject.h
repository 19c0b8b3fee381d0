#pragma once

#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "artifact/recipe.h"
#include "artifact/report.h"
#include "io/gguf_reader.h"
#include "model/model.h"

namespace plasticity {

/// The file under verification, as far as it can be understood. What cannot is a finding, not an error.
struct Subject {
    explicit Subject(const std::filesystem::path& path);  ///< @throws Error (kMissing, kMalformed, kIo)

    GgufReader file;
    std::optional<Recipe> recipe;  ///< nothing when the file carries none, or a bad one
    std::string recipe_problem;    ///< why the recipe that it carries cannot be read
    std::unique_ptr<Model> model;  ///< nullptr when metadata and tensors do not make up a decoder
    std::string model_problem;     ///< why not
};

/// A check that passes when nothing was found.
/// @param fine  what to report then
Check make_check(std::string_view name, const std::vector<std::string>& problems, std::string fine);

}  // namespace plasticity
