#pragma once

#include <filesystem>

#include "artifact/lora_adapter.h"
#include "io/atomic_file.h"

namespace plasticity {

/// Writes an adapter for llama.cpp's --lora: general.type "adapter", adapter.type "lora", adapter.lora.alpha, and
/// `<matrix>.lora_a` {cols, rank}, `<matrix>.lora_b` {rank, rows}, F32. It is for the model as stock llama.cpp runs it:
/// the GGUF itself, or what `export` makes of a folder. Source: llama.cpp, src/llama-adapter.cpp.
/// @throws Error (kUsage, kIo)
void save_gguf_adapter(const LoraAdapter& adapter, const Architecture& architecture,
                       const std::filesystem::path& target, Overwrite overwrite);

}  // namespace plasticity
