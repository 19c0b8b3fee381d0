#pragma once

#include <cstdint>
#include <filesystem>
#include <string>

#include "core/progress.h"
#include "io/atomic_file.h"
#include "model/model.h"

namespace plasticity {

struct HfExportOptions {
    std::filesystem::path folder;
    std::string dtype = "bf16";  ///< bf16, f16 or f32
    std::uint64_t shard_bytes =
        std::uint64_t{5'000'000'000};  ///< weights that one file holds at most, a tensor at least
    Overwrite overwrite = Overwrite::kRefuse;
};

/// Writes a model as the folder that transformers loads: config.json, tokenizer.json, tokenizer_config.json,
/// generation_config.json, chat_template.jinja and model.safetensors, or shards with their index.
/// Weights pass through in tiles of a few MiB. The folder appears whole or not at all.
/// @throws Error (kUsage: geometry differs between blocks, unknown dtype, target exists or is a source; kMalformed: a
///         weight is not finite; kIo), Interrupted
void export_hf(const Model& model, const HfExportOptions& options, Progress& progress);

}  // namespace plasticity
