#include "io/shard_index.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>
#include <string_view>
#include <system_error>
#include <utility>

#include "core/error.h"
#include "io/atomic_file.h"
#include "io/printable.h"
#include "io/problem_list.h"
#include "io/safetensors_reader.h"
#include "io/strict_json.h"

namespace plasticity {
namespace {

constexpr const char* kIndexName = "model.safetensors.index.json";
constexpr const char* kLoneName = "model.safetensors";
constexpr std::uint64_t kMaxIndexBytes = std::uint64_t{64} << 20;  // 70B models: some 60 kB

using WeightMap = std::map<std::string, std::string>;  // tensor → file name

/// A name in this very folder. What it links to is the folder owner's business: hub caches link to ../../blobs.
bool is_plain_file_name(std::string_view name) {
    return name.ends_with(".safetensors") && name.find('/') == std::string_view::npos &&
           name.find('\\') == std::string_view::npos && name.find('\0') == std::string_view::npos;
}

WeightMap read_weight_map(const std::filesystem::path& index_path) {
    const std::string where = index_path.string();
    const nlohmann::json index = parse_strict_json(read_text_file(index_path, kMaxIndexBytes), where);
    if (!index.is_object() || !index.contains("weight_map") || !index["weight_map"].is_object())
        throw Error(ErrorKind::kMalformed,
                    fmt::format("{}: no object 'weight_map'; expected tensor names with their files", where));

    ProblemList problems(where);
    WeightMap files;
    for (const auto& [tensor, file] : index["weight_map"].items()) {
        if (!file.is_string()) {
            problems.add(fmt::format("tensor {}: file is {}; expected a string", printable(tensor), file.type_name()));
        } else if (!is_plain_file_name(file.get_ref<const std::string&>())) {
            problems.add(
                fmt::format("tensor {}: file {}; expected the plain name of a .safetensors file in the same "
                            "folder",
                            printable(tensor), printable(file.get_ref<const std::string&>())));
        } else {
            files[tensor] = file.get<std::string>();
        }
    }
    if (problems.empty() && files.empty()) problems.add("'weight_map' is empty; expected the model's tensors");
    problems.throw_if_any();
    return files;
}

ShardIndex sort_by_shard(const std::filesystem::path& folder, const WeightMap& files) {
    std::map<std::string, std::size_t> position_of;
    for (const auto& [tensor, file] : files) position_of.try_emplace(file);
    ShardIndex index;
    for (auto& [file, position] : position_of) {
        position = index.shards.size();
        index.shards.push_back(folder / file);
    }
    for (const auto& [tensor, file] : files) index.shard_of.emplace(tensor, position_of[file]);
    return index;
}

/// What the index says of the shards is what they hold: no tensor in two of them, none in no one.
void check_against_shards(const std::string& where, const ShardIndex& index) {
    ProblemList problems(where);
    std::map<std::string, std::size_t> found_in;
    for (std::size_t shard = 0; shard < index.shards.size(); ++shard) {
        const SafetensorsReader reader(index.shards[shard]);
        for (const SafetensorsEntry& entry : reader.entries()) {
            const auto [place, is_new] = found_in.try_emplace(entry.name, shard);
            if (!is_new)
                problems.add(fmt::format("tensor {} is in two shards, {} and {}", printable(entry.name),
                                         index.shards[place->second].filename().string(),
                                         index.shards[shard].filename().string()));
        }
    }
    for (const auto& [tensor, shard] : index.shard_of) {
        const auto place = found_in.find(tensor);
        if (place == found_in.end() || place->second != shard)
            problems.add(fmt::format(
                "tensor {}: expected in {}, found in {}", printable(tensor), index.shards[shard].filename().string(),
                place == found_in.end() ? std::string("none") : index.shards[place->second].filename().string()));
    }
    problems.throw_if_any();
}

}  // namespace

ShardIndex read_shard_index(const std::filesystem::path& folder) {
    std::error_code ignored;
    const std::filesystem::path index_path = folder / kIndexName;
    if (std::filesystem::exists(index_path, ignored)) {
        ShardIndex index = sort_by_shard(folder, read_weight_map(index_path));
        check_against_shards(index_path.string(), index);
        return index;
    }
    if (!std::filesystem::exists(folder / kLoneName, ignored))
        throw Error(ErrorKind::kMissing, fmt::format("{}: holds neither {} nor {}; is it the folder of a model in "
                                                     "safetensors form, fully downloaded?",
                                                     folder.string(), kIndexName, kLoneName));
    return {{folder / kLoneName}, {}};
}

std::vector<std::filesystem::path> list_shards(const std::filesystem::path& folder) {
    std::error_code ignored;
    const std::filesystem::path index_path = folder / kIndexName;
    if (std::filesystem::exists(index_path, ignored)) return sort_by_shard(folder, read_weight_map(index_path)).shards;
    if (std::filesystem::is_symlink(index_path, ignored)) return {index_path};  // of a cache, its blob lost
    return {folder / kLoneName};
}

}  // namespace plasticity
