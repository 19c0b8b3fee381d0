#include "compress/tile.h"

#include <algorithm>
#include <numeric>

namespace plasticity {
namespace {

/// Neighbouring source rows and where in the tile they go: source row `source + i` to tile row `targets[i]`.
struct RowRun {
    std::int64_t source = 0;
    std::vector<std::int64_t> targets;

    std::int64_t size() const { return static_cast<std::int64_t>(targets.size()); }
    bool keeps_order() const {
        for (std::size_t i = 1; i < targets.size(); ++i)
            if (targets[i] != targets[i - 1] + 1) return false;
        return true;
    }
};

/// Few large reads in place of many small ones: sorting first puts together even what the rotary layout interleaves.
std::vector<RowRun> runs_of(const OutputTensor& tensor, const Tile& tile) {
    const auto source_of = [&](std::int64_t row) {
        const std::int64_t output_row = tile.first_row + row;
        return tensor.rows.empty() ? output_row : tensor.rows[static_cast<std::size_t>(output_row)];
    };
    std::vector<std::int64_t> by_source(static_cast<std::size_t>(tile.n_rows));
    std::iota(by_source.begin(), by_source.end(), std::int64_t{0});
    std::ranges::sort(by_source, {}, source_of);

    std::vector<RowRun> runs;
    for (const std::int64_t row : by_source) {
        if (runs.empty() || runs.back().source + runs.back().size() != source_of(row))
            runs.push_back({source_of(row), {}});
        runs.back().targets.push_back(row);
    }
    return runs;
}

std::int64_t output_cols(const OutputTensor& tensor) {
    return tensor.cols.empty() ? tensor.source->cols : static_cast<std::int64_t>(tensor.cols.size());
}

std::int64_t output_rows(const OutputTensor& tensor) {
    return tensor.rows.empty() ? tensor.source->rows : static_cast<std::int64_t>(tensor.rows.size());
}

void copy_columns(std::span<const float> source, const OutputTensor& tensor, std::span<float> target) {
    if (tensor.cols.empty()) {
        std::ranges::copy(source, target.begin());
        return;
    }
    for (std::size_t i = 0; i < target.size(); ++i) target[i] = source[static_cast<std::size_t>(tensor.cols[i])];
}

std::size_t element(std::int64_t row, std::uint64_t row_size) {
    return static_cast<std::size_t>(row) * row_size;
}

}  // namespace

std::vector<Tile> cut_into_tiles(const std::vector<OutputTensor>& tensors, std::uint64_t tile_bytes) {
    std::vector<Tile> tiles;
    for (std::size_t index = 0; index < tensors.size(); ++index) {
        const OutputTensor& tensor = tensors[index];
        const std::uint64_t row_bytes = static_cast<std::uint64_t>(tensor.source->cols) * sizeof(float);
        const auto rows_per_tile = static_cast<std::int64_t>(std::max<std::uint64_t>(1, tile_bytes / row_bytes));
        for (std::int64_t row = 0; row < output_rows(tensor); row += rows_per_tile)
            tiles.push_back({index, row, std::min(rows_per_tile, output_rows(tensor) - row)});
    }
    return tiles;
}

std::vector<Tile> tiles_from(const std::vector<Tile>& tiles, const Tile& start) {
    std::vector<Tile> rest;
    for (Tile tile : tiles) {
        if (tile.tensor == start.tensor && tile.first_row < start.first_row) {
            tile.n_rows -= std::min(tile.n_rows, start.first_row - tile.first_row);
            tile.first_row = start.first_row;
        }
        if (tile.tensor >= start.tensor && tile.n_rows > 0) rest.push_back(tile);
    }
    return rest;
}

std::span<const float> read_tile_f32(const Model& model, const OutputTensor& tensor, const Tile& tile,
                                     TileScratch& scratch) {
    const auto source_cols = static_cast<std::size_t>(tensor.source->cols);
    const auto cols = static_cast<std::size_t>(output_cols(tensor));
    scratch.rows.resize(element(tile.n_rows, cols));

    for (const RowRun& run : runs_of(tensor, tile)) {
        if (tensor.cols.empty() && run.keeps_order()) {
            const auto target = std::span(scratch.rows).subspan(element(run.targets.front(), cols));
            model.read_rows_f32(*tensor.source, run.source, run.size(), target.first(element(run.size(), cols)));
            continue;
        }
        scratch.source.resize(element(run.size(), source_cols));
        model.read_rows_f32(*tensor.source, run.source, run.size(), scratch.source);
        for (std::int64_t i = 0; i < run.size(); ++i)
            copy_columns(
                std::span(scratch.source).subspan(element(i, source_cols), source_cols), tensor,
                std::span(scratch.rows).subspan(element(run.targets[static_cast<std::size_t>(i)], cols), cols));
    }
    return scratch.rows;
}

void read_tile_stored(const Model& model, const OutputTensor& tensor, const Tile& tile, std::vector<std::byte>& out) {
    const std::uint64_t row_bytes = tensor.source->row_bytes();
    out.resize(element(tile.n_rows, row_bytes));
    std::vector<std::byte> unordered;

    for (const RowRun& run : runs_of(tensor, tile)) {
        if (run.keeps_order()) {
            const auto target = std::span(out).subspan(element(run.targets.front(), row_bytes));
            model.read_rows(*tensor.source, run.source, run.size(), target.first(element(run.size(), row_bytes)));
            continue;
        }
        unordered.resize(element(run.size(), row_bytes));
        model.read_rows(*tensor.source, run.source, run.size(), unordered);
        for (std::int64_t i = 0; i < run.size(); ++i)
            std::ranges::copy(std::span(unordered).subspan(element(i, row_bytes), row_bytes),
                              out.begin() + element(run.targets[static_cast<std::size_t>(i)], row_bytes));
    }
}

}  // namespace plasticity
