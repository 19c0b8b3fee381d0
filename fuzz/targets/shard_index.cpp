#include "io/shard_index.h"

#include "fuzz_target.h"
#include "io/safetensors_writer.h"

namespace plasticity::fuzz {
namespace {

void write_shard(const std::filesystem::path& path, const char* tensor) {
    const float value = 1;
    SafetensorsWriter shard(path, {{tensor, "F32", {1}}}, Overwrite::kReplace);
    shard.write(std::as_bytes(std::span(&value, 1)));
    shard.finish();
}

/// Tensor `a` in one shard, `b` in the other; the index is the input.
const std::filesystem::path& folder_of_shards() {
    static const bool is_filled = [] {
        write_shard(scratch_folder() / "1.safetensors", "a");
        write_shard(scratch_folder() / "2.safetensors", "b");
        return true;
    }();
    (void)is_filled;
    return scratch_folder();
}

}  // namespace

void run_shard_index(std::span<const std::byte> input) {
    const std::filesystem::path& folder = folder_of_shards();
    write_file(folder / "model.safetensors.index.json", input);
    accepts({ErrorKind::kMalformed, ErrorKind::kMissing}, [&] {
        const ShardIndex index = read_shard_index(folder);
        for (const std::filesystem::path& shard : index.shards)
            require(shard.parent_path() == folder, "a shard lies in the model's folder");
        for (const auto& [tensor, shard] : index.shard_of)
            require(shard < index.shards.size() && (tensor == "a" || tensor == "b"), "the shards hold every tensor");
    });
}

}  // namespace plasticity::fuzz
