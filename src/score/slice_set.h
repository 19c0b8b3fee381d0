#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "artifact/score_provenance.h"

namespace plasticity {

/// What a file to be merged says of itself.
struct SliceFile {
    std::filesystem::path path;
    ScoreSlice slice;
    ScoreProvenance provenance;
    std::string options{};  ///< further ones that all must have in common, for people to read
};

/// The files' positions in the order of their slices.
/// @throws Error (kUsage for slices that overlap or are missing; kMalformed where files are not of one run)
std::vector<std::size_t> order_of_slices(const std::vector<SliceFile>& files);

/// @throws Error (kUsage): a file that covers a whole run is nothing to merge
[[noreturn]] void refuse_whole_run(const std::filesystem::path& path);

}  // namespace plasticity
