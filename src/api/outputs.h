#pragma once

#include <filesystem>
#include <vector>

#include "io/atomic_file.h"

namespace plasticity {

/// What a command was asked to read and to write. Empty paths stand for options that were not given.
struct CommandFiles {
    std::vector<std::filesystem::path> inputs;  ///< files, folders (with all that is in them), hub names
    std::vector<std::filesystem::path> outputs;
};

/// Refuses before any work what would only fail, or do harm, after it: an output in a folder that is not there or takes
/// no files, one that exists and may not be replaced, two outputs in one file, an output that is one of the inputs,
/// however either is spelt or linked.
/// @throws Error (kUsage, kIo)
void require_outputs(const CommandFiles& files, Overwrite overwrite);

/// The folder, with those that it lies in. @throws Error (kIo)
void make_output_folder(const std::filesystem::path& folder);

}  // namespace plasticity
