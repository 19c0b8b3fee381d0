#pragma once

// A Hugging Face folder in memory: read, changed, written. Above all to give one weights in FP8.

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

namespace plasticity::test {

struct FolderTensor {
    std::string dtype;
    std::vector<std::int64_t> shape;
    std::vector<std::byte> bytes;
};

/// config.json and the tensors of all shards.
struct HfFolder {
    nlohmann::json config;
    std::map<std::string, FolderTensor> tensors;
};

HfFolder load_folder(const std::filesystem::path& folder);

/// Writes config.json and the tensors, which take turns over `n_shards` files. @returns folder
std::filesystem::path write_folder(const std::filesystem::path& folder, const HfFolder& content, int n_shards = 1);

/// How weights are turned to FP8.
struct Fp8Layout {
    std::string dtype = "F8_E4M3";
    /// Rows and columns of a block that share a scale; 0: all there are.
    std::int64_t block_rows = 128, block_cols = 128;
    std::string scale_suffix = "_scale_inv";  ///< empty: no scales, values rounded as they are
    std::string scale_dtype = "F32";          ///< or BF16, F8_E8M0
    bool flat_scales = false;                 ///< [rows] instead of [rows × 1], [] instead of [1 × 1]
};

/// Rounds the weights of projections (the experts' too) to the nearest FP8 values, the largest of a block to the
/// format's largest. Source: F32, F16 or BF16.
/// @returns the same folder with what the codes stand for, as F32: code's value · scale, rounded once
HfFolder turn_to_fp8(HfFolder& folder, const Fp8Layout& layout);

}  // namespace plasticity::test
