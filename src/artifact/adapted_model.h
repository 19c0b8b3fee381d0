#pragma once

#include <filesystem>
#include <memory>
#include <optional>

#include "artifact/lora_adapter.h"
#include "model/model.h"

namespace plasticity {

/// The model whose matrices are W + (alpha / rank) · B A. Adapted ones read as F32 and are computed row by row when
/// they are asked for, so it takes no more memory than the adapter; all else is the model's own, its files included.
/// @throws Error (kMalformed) where the adapter does not fit the model
std::unique_ptr<Model> with_adapter(std::unique_ptr<Model> model, LoraAdapter adapter);

/// open_model, and with_adapter where a PEFT folder is given.
/// @throws Error as open_model and load_peft_folder do
std::unique_ptr<Model> open_model(const std::filesystem::path& model,
                                  const std::optional<std::filesystem::path>& adapter);

}  // namespace plasticity
