#pragma once

#include <filesystem>
#include <vector>

namespace plasticity {

/// Files to calibrate on and files to measure on; never the same.
struct DataSplit {
    std::vector<std::filesystem::path> calibration;
    std::vector<std::filesystem::path> held_out;  ///< may be empty
};

/// With eval_data: as given. Without: every fifth text file of `data` is held out; of fewer than five, the last; of one
/// file, or where no file is plain text, none.
/// @throws Error (kMissing, kUsage)
DataSplit split_data(const std::vector<std::filesystem::path>& data,
                     const std::vector<std::filesystem::path>& eval_data);

}  // namespace plasticity
