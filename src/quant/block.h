#pragma once

#include <cstddef>

namespace plasticity {

/// One block of a ggml type: where its weights are read and where its bytes go. Blocks are quantised on their own, so
/// they may come from anywhere: neighbours of one row, or one column position of many rows whose remaining weights a
/// caller changes between calls, as error feedback does.
struct Block {
    const float* weights = nullptr;     ///< [elements of the type's block], finite
    const float* importance = nullptr;  ///< [elements], > 0; nullptr: all alike. All blocks of a call or none
    std::byte* out = nullptr;           ///< ggml_type_size() bytes
};

}  // namespace plasticity
