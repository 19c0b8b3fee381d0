#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace plasticity {

/// Neighbouring channels: `first` to `last`, both included.
struct ChannelRange {
    std::int32_t first = 0;
    std::int32_t last = 0;
    bool operator==(const ChannelRange&) const = default;
};

/// Which channels of one block's feed-forward part stay. A channel is a row of gate, a row of up and a column of down.
/// Thousands of them stay in a block, most of them side by side, so ranges are kept in place of indices.
struct FeedForwardTopology {
    std::int32_t original_channels = 0;  ///< of the base
    std::vector<ChannelRange> retained;  ///< ascending, at least one channel between two of them

    /// @param kept  ascending, each below `original`
    static FeedForwardTopology of(std::span<const std::int32_t> kept, std::int32_t original);

    std::int32_t n_retained() const;
    std::vector<std::int64_t> indices() const;  ///< of the channels that stay, ascending
    bool operator==(const FeedForwardTopology&) const = default;
};

/// What is wrong with it, for messages; empty: every range is within the base's channels and behind the one before,
/// some channel stays and some goes.
std::string problem_of(const FeedForwardTopology& topology);

/// Channels that one has and the other has not.
std::int32_t n_only_in(const FeedForwardTopology& some, const FeedForwardTopology& other);

}  // namespace plasticity
