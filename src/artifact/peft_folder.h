#pragma once

#include <filesystem>
#include <string_view>

#include "artifact/lora_adapter.h"
#include "io/atomic_file.h"

namespace plasticity {

/// An adapter as Hugging Face's peft keeps it: adapter_config.json and adapter_model.safetensors, with
/// base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight [rank][cols] and .lora_B.weight [rows][rank]. Rows of
/// q and k lie as in Hugging Face checkpoints there (kNeox), and are moved where the model's source has them otherwise.
/// Source: peft 0.21, LoraConfig and get_peft_model_state_dict.

inline constexpr std::string_view kPeftConfig = "adapter_config.json";
inline constexpr std::string_view kPeftWeights = "adapter_model.safetensors";

/// Writes the folder, whole or not at all, with the same adapter for llama.cpp's --lora in it, adapter.gguf.
/// @throws Error (kUsage, kIo)
void save_peft_folder(const LoraAdapter& adapter, const Architecture& architecture, const std::filesystem::path& folder,
                      Overwrite overwrite);

/// Throws what save_peft_folder would before it writes: before hours of work that end in this folder.
void require_peft_folder(const std::filesystem::path& folder, Overwrite overwrite);

/// @throws Error (kMissing; kMalformed: another kind of adapter, modules or shapes that the model has not, values that
///         are not finite, every problem in one message; kIo)
LoraAdapter load_peft_folder(const std::filesystem::path& folder, const Architecture& architecture);

}  // namespace plasticity
