#include "compress/tile_batch.h"

namespace plasticity {
namespace {

/// What both ask for.
GramNeed joined(GramNeed a, const GramNeed& b) {
    if (b.compensation.wanted) a.compensation = b.compensation;
    if (b.feedback.wanted) a.feedback = b.feedback;
    return a;
}

}  // namespace

std::vector<TileBatch> cut_into_batches(std::span<const Tile> tiles, std::span<const std::optional<GramNeed>> needs) {
    std::vector<TileBatch> batches;
    std::size_t begin = 0;
    std::optional<GramNeed> need;
    for (std::size_t end = 0; end < tiles.size(); ++end) {
        const std::optional<GramNeed>& next = needs[tiles[end].tensor];
        if (!next || !next->is_possible()) continue;
        if (need && !need->is_like(*next)) {
            batches.push_back({tiles.subspan(begin, end - begin), need});
            begin = end;
            need.reset();
        }
        need = need ? joined(*need, *next) : *next;
    }
    if (begin < tiles.size()) batches.push_back({tiles.subspan(begin), need});
    return batches;
}

}  // namespace plasticity
