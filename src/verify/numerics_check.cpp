#include "verify/numerics_check.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>

#include "core/interrupt.h"
#include "core/parallel.h"
#include "core/units.h"
#include "quant/block_check.h"

namespace plasticity {
namespace {

constexpr std::uint64_t kTileBytes = std::uint64_t{1} << 20;

/// Whole blocks of one tensor.
struct Tile {
    const GgufTensor* tensor = nullptr;
    std::uint64_t begin = 0;  ///< byte offset in the tensor
    std::uint64_t bytes = 0;
};

std::vector<Tile> cut_into_tiles(const GgufReader& file) {
    std::vector<Tile> tiles;
    for (const GgufTensor& tensor : file.tensors()) {
        const std::uint64_t step = kTileBytes - kTileBytes % ggml_type_size(tensor.type);
        for (std::uint64_t begin = 0; begin < tensor.bytes; begin += step)
            tiles.push_back({&tensor, begin, std::min(step, tensor.bytes - begin)});
    }
    return tiles;
}

/// Index in the tensor of the tile's first element that is not finite.
std::optional<std::int64_t> inspect(const GgufReader& file, const Tile& tile) {
    std::vector<std::byte> stored(tile.bytes);
    file.read(*tile.tensor, tile.begin, stored);
    const auto bad = first_non_finite(tile.tensor->type, stored);
    if (!bad) return std::nullopt;
    const std::uint64_t blocks_before = tile.begin / ggml_type_size(tile.tensor->type);
    return static_cast<std::int64_t>(blocks_before) * ggml_blck_size(tile.tensor->type) + *bad;
}

std::string describe(const GgufTensor& tensor, std::int64_t index) {
    return fmt::format("{} ({}): row {}, column {} is not finite", tensor.name, ggml_type_name(tensor.type),
                       index / tensor.row_length(), index % tensor.row_length());
}

}  // namespace

Check check_numerics(const GgufReader& file, int threads, Progress& progress) {
    const auto tiles = cut_into_tiles(file);
    std::uint64_t total_bytes = 0;
    for (const Tile& tile : tiles) total_bytes += tile.bytes;

    progress.begin("verify numerics", total_bytes, "bytes");
    std::vector<std::string> problems;
    const std::size_t batch = 4 * static_cast<std::size_t>(threads);
    for (std::size_t first = 0; first < tiles.size() && problems.empty(); first += batch) {
        throw_if_interrupted();
        const auto some = std::span(tiles).subspan(first, std::min(batch, tiles.size() - first));
        std::vector<std::optional<std::int64_t>> bad(some.size());
        parallel_for(threads, some.size(), [&](std::size_t i) { bad[i] = inspect(file, some[i]); });
        for (std::size_t i = 0; i < some.size(); ++i) {
            if (bad[i] && problems.empty()) problems.push_back(describe(*some[i].tensor, *bad[i]));
            progress.advance(some[i].bytes, some[i].tensor->name);
        }
    }
    file.file().require_unchanged();
    progress.end();
    return make_check(
        "numerics", problems,
        fmt::format("all blocks of {} tensors ({}) are finite", file.tensors().size(), format_bytes(total_bytes)));
}

}  // namespace plasticity
