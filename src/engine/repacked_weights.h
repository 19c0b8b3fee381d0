#pragma once

#include <ggml-cpp.h>

#include <cstddef>
#include <span>
#include <vector>

#include "core/progress.h"
#include "engine/backend.h"
#include "engine/weights.h"

namespace plasticity {

/// Second copies of matrices, rows interleaved as this processor's kernels multiply them by single tokens fastest. The
/// same numbers, summed in another order; products with many tokens at once are faster as the matrices are stored.
/// Source: ggml's extra buffer types of the CPU, which llama.cpp puts all weights into by default.
class RepackedWeights {
public:
    RepackedWeights() = default;
    /// @param weights  on the CPU, all in memory, must outlive this
    /// @throws Error (kIo) where memory lacks, Interrupted
    RepackedWeights(const Weights& weights, const Backend& backend, Progress& progress);

    /// With the copies in the place of what was copied; empty where this processor has no such kernels for any of them.
    std::span<const LayerWeights> layers() const { return layers_; }
    std::size_t bytes() const;

private:
    std::vector<LayerWeights> layers_;
    std::vector<ggml_context_ptr> contexts_;  ///< of each kind of memory
    std::vector<ggml_backend_buffer_ptr> buffers_;
};

}  // namespace plasticity
