#pragma once

#include <cstdint>
#include <optional>
#include <utility>
#include <vector>

#include "artifact/recipe.h"
#include "model/architecture.h"
#include "plan/channel_pruning.h"
#include "plasticity/plan.h"

namespace plasticity {

struct PruneUnit;

/// What stays of one block's attention. Stock attention maps query head h to KV group h / (heads / groups), so all
/// living groups keep the same number of query heads: each its best-scored ones.
struct LayerHeads {
    std::vector<double> scores;  ///< of every query head of the base
    std::int32_t base_groups = 0;
    std::vector<std::int32_t> groups;  ///< living KV groups, ascending
    std::int32_t heads_per_group = 0;  ///< query heads that each living group keeps

    std::int32_t group_size() const;  ///< query heads of a group in the base
    std::int32_t n_heads() const { return static_cast<std::int32_t>(groups.size()) * heads_per_group; }
    /// Query heads of a group that stay, best first; of equal ones the lower index stays.
    std::vector<std::int32_t> kept_of(std::int32_t group) const;
    std::vector<std::int32_t> kept() const;  ///< ascending
    double mean_kept_score() const;          ///< 0 for a block without attention
    double mean_score() const;               ///< over all heads of the base
    void remove(const PruneUnit& unit);      ///< one of this block's
};

/// The least that can be removed at once: one query head of every living group, or one whole group. Where blocks must
/// stay alike, that of every block: `layer` and `group` are then the first block's. Or all that is left of a block's
/// attention, which then passes its input on.
struct PruneUnit {
    std::size_t layer = 0;
    std::optional<std::int32_t> group;  ///< nothing: the worst head of every living group
    std::int32_t heads = 0;             ///< query heads that go
    double cost = 0;                    ///< their mean score
    bool is_everything = false;         ///< all groups
};

/// The heads of a model, and the channels of its feed-forward parts, while they are being pruned. At least 2 KV groups
/// and 4 query heads stay in every block that has as many, unless its attention goes as a whole. Blocks of a model that
/// stock llama.cpp knows in no form with a geometry for each block keep equally many: each its own best.
class HeadPruning {
public:
    /// @param scores  [layer][query head]; the caller has checked the shape
    HeadPruning(const Architecture& architecture, const std::vector<std::vector<double>>& scores);

    /// Removes heads scored below 0.1; a KV group dies only when all its heads are below.
    void prune_by_tiers();
    /// Removes the n groups with the smallest sums of scores in every block. @throws Error (kUsage) when fewer may go
    void prune_groups(std::int32_t n);
    /// Removes about `share` of all query heads, cheapest units first. @throws Error (kUsage) when fewer may go
    void prune_share(double share);

    /// Everything that may go next.
    std::vector<PruneUnit> units() const;
    /// Of one block; where blocks stay alike none can go by itself.
    std::vector<PruneUnit> units_of(std::size_t layer) const;
    /// All that is left of a block's attention; nothing where there is none, where blocks stay alike, or once half of
    /// the blocks are without.
    std::optional<PruneUnit> whole_attention(std::size_t layer) const;
    bool stays_alike() const { return alike_; }
    /// The unit with the lowest mean score that may go; nothing when every block is at its minimum.
    std::optional<PruneUnit> cheapest_unit() const;
    void remove(const PruneUnit& unit);

    const std::vector<LayerHeads>& layers() const { return layers_; }
    std::int64_t n_heads() const;
    std::int64_t base_heads() const;
    bool prunes() const { return n_heads() < base_heads() || channels_.prunes(); }
    /// What goes of the feed-forward parts, beside the heads.
    const ChannelPruning& channels() const { return channels_; }
    void set_channels(ChannelPruning channels) { channels_ = std::move(channels); }
    Architecture pruned(const Architecture& base) const;  ///< geometry only
    std::vector<LayerTopology> topology() const;

private:
    void make_alike();

    std::vector<LayerHeads> layers_;
    ChannelPruning channels_;
    bool alike_ = false;  ///< every block keeps as many groups, and heads of a group, as every other
};

/// Heads that stay, by what the user asked for. @throws Error (kUsage)
HeadPruning choose_heads(const Architecture& architecture, const std::vector<std::vector<double>>& scores,
                         const PruneRequest& request);

}  // namespace plasticity
