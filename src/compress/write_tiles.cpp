#include "compress/write_tiles.h"

#include <fmt/format.h>

#include <algorithm>
#include <numeric>

#include "compress/ordered_pipeline.h"
#include "compress/tile_batch.h"
#include "core/error.h"
#include "core/interrupt.h"
#include "core/units.h"

namespace plasticity {
namespace {

/// Rows in flight, as F32, over all workers; each keeps up to five copies of its tile (stored, F32 twice, results).
constexpr std::uint64_t kInFlightBytes = std::uint64_t{64} << 20;
constexpr std::uint64_t kLargestTileBytes = std::uint64_t{4} << 20;

/// Bytes of all tensors before a position.
std::uint64_t weight_bytes_before(const GgufLayout& layout, const GgufPosition& position) {
    const auto end = layout.tensors.begin() + static_cast<std::ptrdiff_t>(position.tensor);
    return std::accumulate(layout.tensors.begin(), end, position.bytes,
                           [](std::uint64_t sum, const GgufTensorSpec& tensor) { return sum + tensor.bytes(); });
}

/// The tiles that an earlier, killed process has not written.
std::vector<Tile> remaining_tiles(const TileWork& work, const GgufPosition& position) {
    const auto tiles =
        cut_into_tiles(work.layout.tensors, std::min(kLargestTileBytes, kInFlightBytes / work.n_workers));
    if (position.bytes == 0) return tiles_from(tiles, {.tensor = position.tensor});
    const GgufTensorSpec& spec = work.layout.tensors[position.tensor].spec;
    const std::uint64_t row_bytes = ggml_row_size(spec.type, spec.dims[0]);
    if (position.bytes % row_bytes != 0)
        throw Error(ErrorKind::kInternal, fmt::format("compress: {} continues at byte {}; its rows have {}", spec.name,
                                                      position.bytes, row_bytes));
    return tiles_from(tiles,
                      {.tensor = position.tensor, .first_row = static_cast<std::int64_t>(position.bytes / row_bytes)});
}

void begin_progress(const GgufLayout& layout, const GgufPosition& position, Progress& progress) {
    const std::uint64_t done = weight_bytes_before(layout, position);
    if (done > 0)
        progress.note(fmt::format("continues after the {} that an earlier run had written", format_bytes(done)));
    progress.begin("compress", weight_bytes_before(layout, {.tensor = layout.tensors.size()}), "bytes");
    progress.advance(done);
}

/// Lets the encoders of a batch's tensors share work on their Gram matrix while the batch is written.
class SharedWork {
public:
    SharedWork(const TileWork& work, const TileBatch& batch)
        : encoders_(
              std::span(work.encoders)
                  .subspan(batch.tiles.front().tensor, batch.tiles.back().tensor - batch.tiles.front().tensor + 1)) {
        if (!batch.need) return;
        const GramWork shared = work_on(*batch.need, *work.gram, static_cast<int>(work.n_workers));
        for (TensorEncoder& encoder : encoders_) encoder.begin(shared);
    }
    ~SharedWork() {
        for (TensorEncoder& encoder : encoders_) encoder.end();
    }
    SharedWork(const SharedWork&) = delete;
    SharedWork& operator=(const SharedWork&) = delete;

private:
    std::span<TensorEncoder> encoders_;
};

/// Memory that is used again for every tile.
struct Buffers {
    std::vector<TileScratch> scratch;             ///< [workers]
    std::vector<std::vector<std::byte>> encoded;  ///< [slots]
};

void write_batch(const TileWork& work, std::span<const Tile> tiles, Buffers& buffers, GgufWriter& file,
                 Progress& progress) {
    const PipelineShape shape{
        .count = tiles.size(), .workers = buffers.scratch.size(), .slots = buffers.encoded.size()};
    const auto produce = [&](const PipelineItem& item) {
        const Tile& tile = tiles[item.index];
        work.encoders[tile.tensor].encode(work.model, tile, buffers.scratch[item.worker], buffers.encoded[item.slot]);
    };
    const auto consume = [&](const PipelineItem& item) {
        throw_if_interrupted();
        const std::string& name = work.layout.tensors[tiles[item.index].tensor].spec.name;
        file.write(name, buffers.encoded[item.slot]);
        progress.advance(buffers.encoded[item.slot].size(), name);
    };
    run_ordered_pipeline(shape, produce, consume);
}

std::vector<std::optional<GramNeed>> needs_of(const std::vector<TensorEncoder>& encoders) {
    std::vector<std::optional<GramNeed>> needs;
    for (const TensorEncoder& encoder : encoders) needs.push_back(encoder.need());
    return needs;
}

}  // namespace

void write_tiles(const TileWork& work, GgufWriter& file, Progress& progress) {
    begin_progress(work.layout.file, file.position(), progress);
    const std::vector<Tile> tiles = remaining_tiles(work, file.position());
    Buffers buffers{.scratch = std::vector<TileScratch>(work.n_workers),
                    .encoded = std::vector<std::vector<std::byte>>(2 * work.n_workers)};
    for (const TileBatch& batch : cut_into_batches(tiles, needs_of(work.encoders))) {
        const SharedWork shared(work, batch);
        write_batch(work, batch.tiles, buffers, file, progress);
    }
}

}  // namespace plasticity
