#pragma once

#include <filesystem>
#include <string>

#include "core/progress.h"
#include "io/atomic_file.h"
#include "model/model.h"

namespace plasticity {

struct GgufExportOptions {
    std::filesystem::path file;
    std::string type = "stored";  ///< of matrices: f32, f16, bf16, or stored: as the source has them
    Overwrite overwrite = Overwrite::kRefuse;
};

/// Writes a model as a GGUF that stock llama.cpp loads: query and key rows in the family's RoPE layout, vectors in F32,
/// weights in tiles of a few MiB. A qwen2 whose heads do not fill the embedding width becomes a deci, since the stock
/// loader of qwen2 takes no other.
/// @throws Error (kUsage, kMalformed: a weight is not finite; kIo), Interrupted
void export_gguf(const Model& model, const GgufExportOptions& options, Progress& progress);

}  // namespace plasticity
