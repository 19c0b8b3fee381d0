#pragma once

#include <optional>
#include <span>
#include <vector>

#include "compress/gram_work.h"
#include "compress/tile.h"

namespace plasticity {

/// Tiles in a row for which one answer of a Gram matrix does: what bounds memory, since only one exists at a time.
struct TileBatch {
    std::span<const Tile> tiles;
    std::optional<GramNeed> need;  ///< nothing: none of the tiles needs one
};

/// @param needs  of every tensor, by its index; viewed, not copied
/// @returns `tiles` in their order
std::vector<TileBatch> cut_into_batches(std::span<const Tile> tiles, std::span<const std::optional<GramNeed>> needs);

}  // namespace plasticity
