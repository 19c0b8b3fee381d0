#pragma once

#include <filesystem>

#include "io/gguf_metadata.h"

namespace plasticity {

/// What the model card of a Hugging Face folder (the front matter of README.md) says of license and languages, as
/// `general.*` by the names that convert_hf_to_gguf.py gives them. A card that is absent or cannot be read says
/// nothing: no weight depends on it.
/// @throws Error (kIo)
void read_model_card(const std::filesystem::path& folder, GgufMetadata& general);

}  // namespace plasticity
