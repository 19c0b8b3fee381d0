#pragma once

#include <cstddef>
#include <vector>

#include "artifact/gram.h"
#include "artifact/output_layout.h"
#include "compress/tensor_encoder.h"
#include "core/progress.h"
#include "io/gguf_writer.h"
#include "model/model.h"

namespace plasticity {

/// What is read, how each tensor is turned into its output, and by how many threads.
struct TileWork {
    const Model& model;
    const OutputLayout& layout;
    std::vector<TensorEncoder>& encoders;  ///< of the layout's tensors
    const GramFile* gram;                  ///< nullptr: no encoder needs any
    std::size_t n_workers;
};

/// Writes what an earlier, killed process has not written of a file, tile by tile, on `n_workers` threads. Peak memory
/// depends neither on the model nor on a tensor's size; what is written does not depend on the threads.
/// @throws Error (kMalformed, kIo), Interrupted
void write_tiles(const TileWork& work, GgufWriter& file, Progress& progress);

}  // namespace plasticity
