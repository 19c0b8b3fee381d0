#pragma once

#include <filesystem>
#include <optional>
#include <string>

#include "artifact/gguf_adapter.h"
#include "artifact/recipe.h"
#include "model/model.h"

namespace plasticity {

/// What an adapter that was trained on a base is for a file made of that base: rows of B and columns of A stay, move
/// and are padded as those of W did. Of blocks that have lost their attention, nothing of it is left.
/// @param recipe  that the file was made by; nothing: it is the base itself
/// @param where   names the adapter in messages
/// @throws Error (kMalformed) naming every matrix that is none of that base, (kUsage) where its channels were scaled
LoraAdapter kept_adapter(const GgufAdapter& trained, const Architecture& model, const std::optional<Recipe>& recipe,
                         const std::string& where);

/// load_gguf_adapter, for this model as it is; nothing where no path is given.
/// @throws Error as both do, and for a file whose recipe cannot be read
std::optional<LoraAdapter> load_kept_adapter(const Model& model, const std::optional<std::filesystem::path>& path);

}  // namespace plasticity
