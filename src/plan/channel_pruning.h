#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "artifact/feed_forward_topology.h"
#include "model/architecture.h"

namespace plasticity {

/// The least that the feed-forward part of a block can lose: its cheapest channels, as many as leave a width of whole
/// quantisation blocks. Where blocks must stay alike, that of every block: `layer` is then the first.
struct ChannelUnit {
    std::size_t layer = 0;
    std::int32_t channels = 0;
    double damage = 0;  ///< nats per token, of all of them
};

/// The feed-forward parts of a model while they are being pruned. Channels go cheapest first; of equal ones the lower
/// index stays. Widths are multiples of 256 where the base's is, else of 32, and at least that: stock llama.cpp drops
/// the attention of a block without a width. Blocks of a model that stock llama.cpp knows in no form with a geometry
/// for each block keep equally many. Copies are cheap.
class ChannelPruning {
public:
    /// Nothing is known, so that nothing can go.
    ChannelPruning() = default;
    /// @param damages  [layer][channel] nats per token of removing it, ≥ 0; as many as the block is wide
    ChannelPruning(const Architecture& architecture, const std::vector<std::vector<double>>& damages);

    /// Removes about `share` of all channels, cheapest units first. @throws Error (kUsage) when fewer may go
    void prune_share(double share);

    /// Everything that may go next.
    std::vector<ChannelUnit> units() const;
    void remove(const ChannelUnit& unit);

    bool prunes() const { return n_removed() > 0; }
    std::int64_t n_removed() const;
    std::int64_t n_removed(std::size_t layer) const;
    std::int64_t n_channels() const;  ///< of the base
    double damage() const;            ///< of all that is gone, nats per token: channels are taken one by one
    double damage(std::size_t layer) const;
    /// Nothing where all channels stay.
    std::optional<FeedForwardTopology> topology(std::size_t layer) const;

private:
    /// One block's channels by what they are worth.
    struct Order {
        std::vector<std::int32_t> cheapest_first;
        std::vector<double> damages;  ///< [n] of removing the first n channels; one more than there are channels
    };
    std::optional<ChannelUnit> unit_of(std::size_t layer) const;

    std::shared_ptr<const std::vector<Order>> orders_;
    std::vector<std::int32_t> removed_;  ///< [layer]
    bool alike_ = false;
};

}  // namespace plasticity
