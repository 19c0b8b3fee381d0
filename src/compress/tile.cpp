#include "compress/tile.h"

#include <algorithm>
#include <optional>

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

/// Rows of zeros have none. Few large reads in place of many small ones: sorting first puts together even what the
/// rotary layout interleaves.
std::vector<RowRun> runs_of(const OutputTensor& tensor, const Tile& tile) {
    const auto source_of = [&](std::int64_t row) {
        const std::int64_t output_row = tile.first_row + row;
        return tensor.rows.empty() ? output_row : tensor.rows[static_cast<std::size_t>(output_row)];
    };
    std::vector<std::int64_t> by_source;
    for (std::int64_t row = 0; row < tile.n_rows; ++row)
        if (source_of(row) != kZeros) by_source.push_back(row);
    std::ranges::sort(by_source, {}, source_of);

    std::vector<RowRun> runs;
    for (const std::int64_t row : by_source) {
        if (runs.empty() || runs.back().source + runs.back().size() != source_of(row))
            runs.push_back({source_of(row), {}});
        runs.back().targets.push_back(row);
    }
    return runs;
}

void copy_columns(std::span<const float> source, const OutputTensor& tensor, std::span<float> target) {
    if (tensor.cols.empty()) {
        std::ranges::copy(source, target.begin());
        return;
    }
    for (std::size_t i = 0; i < target.size(); ++i)
        target[i] = tensor.cols[i] == kZeros ? 0.0f : source[static_cast<std::size_t>(tensor.cols[i])];
}

/// For each block of an output row the source's block that it is, or kZeros. Nothing where blocks would be cut. Zeros
/// that fill the source's last block (ModelTensor::padded_cols) belong to that block.
std::optional<std::vector<std::int64_t>> stored_blocks(const OutputTensor& tensor) {
    const std::int64_t block = ggml_blck_size(tensor.spec.type);
    const auto is_column = [&](std::int64_t col, std::int64_t stored) {
        return col == stored ||
               (col == kZeros && stored >= tensor.source->cols && stored < tensor.source->row_length());
    };
    std::vector<std::int64_t> blocks;
    for (std::size_t first = 0; first < tensor.cols.size(); first += static_cast<std::size_t>(block)) {
        const std::int64_t source = tensor.cols[first];
        if (source != kZeros && source % block != 0) return std::nullopt;
        for (std::int64_t i = 1; i < block; ++i)
            if (const std::int64_t col = tensor.cols[first + static_cast<std::size_t>(i)];
                source == kZeros ? col != kZeros : !is_column(col, source + i))
                return std::nullopt;
        blocks.push_back(source == kZeros ? kZeros : source / block);
    }
    return blocks;
}

/// @param source  one row  @param target  zeros
void copy_blocks(std::span<const std::byte> source, std::span<const std::int64_t> blocks, std::uint64_t block_bytes,
                 std::span<std::byte> target) {
    for (std::size_t i = 0; i < blocks.size(); ++i)
        if (blocks[i] != kZeros)
            std::ranges::copy(source.subspan(static_cast<std::size_t>(blocks[i]) * block_bytes, block_bytes),
                              target.begin() + static_cast<std::ptrdiff_t>(i * block_bytes));
}

std::size_t element(std::int64_t row, std::uint64_t row_size) {
    return static_cast<std::size_t>(row) * row_size;
}

}  // namespace

std::vector<Tile> cut_into_tiles(const std::vector<OutputTensor>& tensors, std::uint64_t tile_bytes) {
    std::vector<Tile> tiles;
    for (std::size_t index = 0; index < tensors.size(); ++index) {
        const OutputTensor& tensor = tensors[index];
        const std::uint64_t row_bytes =
            static_cast<std::uint64_t>(std::max(tensor.source->cols, tensor.n_cols())) * sizeof(float);
        const auto rows_per_tile = static_cast<std::int64_t>(std::max<std::uint64_t>(1, tile_bytes / row_bytes));
        for (std::int64_t row = 0; row < tensor.n_rows(); row += rows_per_tile)
            tiles.push_back({index, row, std::min(rows_per_tile, tensor.n_rows() - row)});
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
    const auto cols = static_cast<std::size_t>(tensor.n_cols());
    scratch.rows.assign(element(tile.n_rows, cols), 0.0f);

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
    if (tensor.scale != 1.0f)
        for (float& value : scratch.rows) value *= tensor.scale;
    return scratch.rows;
}

bool keeps_stored_blocks(const OutputTensor& tensor) {
    return tensor.source->type == tensor.spec.type && tensor.scale == 1.0f && !tensor.loses_cols() &&
           stored_blocks(tensor).has_value();
}

void read_tile_stored(const Model& model, const OutputTensor& tensor, const Tile& tile, std::vector<std::byte>& out) {
    const std::uint64_t row_bytes = ggml_row_size(tensor.source->type, tensor.n_cols());
    const std::uint64_t source_row_bytes = tensor.source->row_bytes();
    out.assign(element(tile.n_rows, row_bytes), std::byte{0});
    const std::vector<std::int64_t> blocks = stored_blocks(tensor).value();
    std::vector<std::byte> unordered;

    for (const RowRun& run : runs_of(tensor, tile)) {
        if (blocks.empty() && run.keeps_order()) {
            const auto target = std::span(out).subspan(element(run.targets.front(), row_bytes));
            model.read_rows(*tensor.source, run.source, run.size(), target.first(element(run.size(), row_bytes)));
            continue;
        }
        unordered.resize(element(run.size(), source_row_bytes));
        model.read_rows(*tensor.source, run.source, run.size(), unordered);
        for (std::int64_t i = 0; i < run.size(); ++i) {
            const auto source = std::span(unordered).subspan(element(i, source_row_bytes), source_row_bytes);
            const auto target =
                std::span(out).subspan(element(run.targets[static_cast<std::size_t>(i)], row_bytes), row_bytes);
            if (blocks.empty())
                std::ranges::copy(source, target.begin());
            else
                copy_blocks(source, blocks, ggml_type_size(tensor.source->type), target);
        }
    }
}

}  // namespace plasticity
