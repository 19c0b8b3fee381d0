#pragma once

#include <filesystem>
#include <string>

#include "artifact/lora_adapter.h"
#include "io/atomic_file.h"

namespace plasticity {

/// Writes an adapter for llama.cpp's --lora: general.type "adapter", adapter.type "lora", adapter.lora.alpha, and
/// `<matrix>.lora_a` {cols, rank}, `<matrix>.lora_b` {rank, rows}, F32. It is for the model as stock llama.cpp runs it:
/// the GGUF itself, or what `export` makes of a folder. Source: llama.cpp, src/llama-adapter.cpp.
/// @throws Error (kUsage, kIo)
void save_gguf_adapter(const LoraAdapter& adapter, const Architecture& architecture,
                       const std::filesystem::path& target, Overwrite overwrite);

/// What such a file holds.
struct GgufAdapter {
    std::string architecture;  ///< `general.architecture` of the model that it was trained on
    LoraAdapter adapter;       ///< rows lie as that model's GGUF has them
};

/// Also of files that llama.cpp's convert_lora_to_gguf.py wrote: F32, F16, BF16 or Q8_0.
/// @throws Error (kMissing; kMalformed: no adapter, another kind, halves that do not fit together, other matrices than
///         lora_roles(), several ranks, values that are not finite, every problem in one message; kIo)
GgufAdapter load_gguf_adapter(const std::filesystem::path& path);

}  // namespace plasticity
