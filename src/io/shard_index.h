#pragma once

#include <filesystem>
#include <map>
#include <string>
#include <vector>

namespace plasticity {

/// Which file of a Hugging Face folder holds which tensor.
struct ShardIndex {
    std::vector<std::filesystem::path> shards;    ///< in name order
    std::map<std::string, std::size_t> shard_of;  ///< tensor name → index into shards; empty for a single file
};

/// Reads model.safetensors.index.json, or takes a lone model.safetensors.
/// Shard names must be plain file names inside the folder; the files may be symbolic links (hub caches).
/// @throws Error (kMissing when the folder holds no weights, kMalformed)
ShardIndex read_shard_index(const std::filesystem::path& folder);

/// The shards that the folder should hold, whether they are there or not: to tell what a download still lacks.
/// @throws Error (kMalformed) where model.safetensors.index.json cannot be read
std::vector<std::filesystem::path> list_shards(const std::filesystem::path& folder);

}  // namespace plasticity
