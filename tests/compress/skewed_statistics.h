#pragma once

#include <filesystem>

#include "artifact/statistics.h"

namespace plasticity::test {

/// Of block 0's up projection, 64 wide: every eighth channel is a thousand times as important as the others.
inline void write_skewed_statistics(const std::filesystem::path& path) {
    Statistics statistics;
    statistics.chunk_count = 1;
    ChannelStatistics& channels = statistics.matrices["blk.0.ffn_up.weight"];
    channels.count = 512;
    for (int i = 0; i < 64; ++i) channels.sum_of_squares.push_back(i % 8 == 0 ? 1000.0 : 1.0);
    save_statistics(statistics, path, Overwrite::kRefuse);
}

}  // namespace plasticity::test
