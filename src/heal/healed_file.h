#pragma once

#include <filesystem>
#include <span>

#include "heal/trained_vectors.h"
#include "io/atomic_file.h"
#include "io/gguf_reader.h"

namespace plasticity {

/// Writes a GGUF that is the source but for what was trained: vectors in the place of its own, and rows with their
/// factors in the scales of their blocks. A piece at a time. @throws Error (kIo; kUsage where the target may not be
/// replaced)
void write_healed_file(const GgufReader& source, std::span<const TrainedVector> trained,
                       const std::filesystem::path& target, Overwrite overwrite);

}  // namespace plasticity
