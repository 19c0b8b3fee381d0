#pragma once

#include <cstdint>
#include <vector>

#include "compress/tensor_encoder.h"
#include "core/progress.h"

namespace plasticity {

/// What the bound on memory (CompressOptions::gram_memory_bytes) takes from compensation and error feedback.
struct GramLimits {
    std::uint64_t narrowed = 0;  ///< matrices that take channels together in narrower blocks than the file has
    std::uint64_t left_out = 0;  ///< matrices that go without
    std::int64_t narrowest = 0;  ///< channels of the narrowest such block; 0: none
};

GramLimits limits_of(const std::vector<TensorEncoder>& encoders);
/// Silent where nothing is taken.
void note_limits(const GramLimits& limits, std::uint64_t most_bytes, Progress& progress);

}  // namespace plasticity
