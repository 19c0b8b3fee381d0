#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "io/atomic_file.h"

namespace plasticity {

/// Σx² per input channel of every matrix, over tokens.
struct ChannelStatistics {
    std::vector<double> sum_of_squares;  ///< [cols of the matrix]
    std::int64_t count = 0;              ///< tokens
};

/// Activation statistics of a scoring run; saved in llama.cpp's imatrix GGUF form (`<name>.in_sum2`, `<name>.counts`),
/// which llama-quantize reads, and loaded from files that llama-imatrix wrote.
/// Source: llama.cpp, tools/imatrix/imatrix.cpp.
struct Statistics {
    std::map<std::string, ChannelStatistics> matrices;  ///< by GGUF name, "blk.0.attn_q.weight"
    std::vector<std::string> datasets;
    std::int32_t chunk_size = 512;
    std::int64_t chunk_count = 0;

    const ChannelStatistics* find(std::string_view name) const;
};

/// @throws Error (kUsage, kIo)
void save_statistics(const Statistics& statistics, const std::filesystem::path& target, Overwrite overwrite);
/// @throws Error (kMissing; kMalformed: NaN, negative sums, counts that are no whole numbers)
Statistics load_statistics(const std::filesystem::path& path);

}  // namespace plasticity
