#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "artifact/output_layout.h"

namespace plasticity {

/// A run of rows of one output tensor: the unit of reading, quantising and writing.
struct Tile {
    std::size_t tensor = 0;  ///< index into OutputLayout::tensors
    std::int64_t first_row = 0;
    std::int64_t n_rows = 0;
};

/// Cuts every tensor into tiles in the order in which they are written. A tile's rows hold at most `tile_bytes` as
/// F32, as they are read and as they are written, but always one row.
std::vector<Tile> cut_into_tiles(const std::vector<OutputTensor>& tensors, std::uint64_t tile_bytes);

/// Those of `tiles` that begin at `start` or later (its n_rows does not count); one that `start` lies in is cut there.
std::vector<Tile> tiles_from(const std::vector<Tile>& tiles, const Tile& start);

/// Memory that one worker uses again for every tile.
struct TileScratch {
    std::vector<float> source;       ///< rows as read, all source columns
    std::vector<float> rows;         ///< rows of the tile, output columns only
    std::vector<float> compensated;  ///< the same, where columns took over what others did, with padding
};

/// Rows of a tile as F32: [n_rows, output columns], heads and columns that were pruned left out, rows permuted where
/// the layout says so, padding zero. Source rows that lie together are read together.
/// @returns a view into `scratch`
std::span<const float> read_tile_f32(const Model& model, const OutputTensor& tensor, const Tile& tile,
                                     TileScratch& scratch);

/// Whether an output row is made of whole stored blocks: the type stays, no column is lost or scaled, and padding is
/// blocks of its own.
bool keeps_stored_blocks(const OutputTensor& tensor);

/// The same rows as stored, for tensors for which keeps_stored_blocks() holds. Padding is zero bytes, which stand for
/// zeros in every type.
/// @param out  resized to n_rows · output row bytes
void read_tile_stored(const Model& model, const OutputTensor& tensor, const Tile& tile, std::vector<std::byte>& out);

}  // namespace plasticity
