#include "artifact/feed_forward_topology.h"

#include <fmt/format.h>

#include <algorithm>

namespace plasticity {

FeedForwardTopology FeedForwardTopology::of(std::span<const std::int32_t> kept, std::int32_t original) {
    FeedForwardTopology topology{.original_channels = original, .retained = {}};
    for (const std::int32_t channel : kept) {
        if (topology.retained.empty() || topology.retained.back().last + 1 != channel)
            topology.retained.push_back({channel, channel});
        topology.retained.back().last = channel;
    }
    return topology;
}

std::int32_t FeedForwardTopology::n_retained() const {
    std::int32_t n = 0;
    for (const ChannelRange& range : retained) n += range.last - range.first + 1;
    return n;
}

std::vector<std::int64_t> FeedForwardTopology::indices() const {
    std::vector<std::int64_t> result;
    result.reserve(static_cast<std::size_t>(n_retained()));
    for (const ChannelRange& range : retained)
        for (std::int64_t channel = range.first; channel <= range.last; ++channel) result.push_back(channel);
    return result;
}

std::string problem_of(const FeedForwardTopology& topology) {
    std::int64_t next = 0;  // first channel that a range may begin with
    for (const ChannelRange& range : topology.retained) {
        if (range.first < next || range.last < range.first || range.last >= topology.original_channels)
            return fmt::format("channels {} to {} stay; expected ascending ranges below {}, a gap between two of them",
                               range.first, range.last, topology.original_channels);
        next = std::int64_t{range.last} + 2;
    }
    const std::int32_t n = topology.n_retained();
    if (n == 0) return "no channel stays; expected at least one: stock llama.cpp drops a block without a width";
    if (n == topology.original_channels)
        return fmt::format("all {} channels stay; expected no list where nothing goes", n);
    return "";
}

std::int32_t n_only_in(const FeedForwardTopology& some, const FeedForwardTopology& other) {
    std::int32_t shared = 0;
    for (auto a = some.retained.begin(), b = other.retained.begin();
         a != some.retained.end() && b != other.retained.end();) {
        shared += std::max(0, std::min(a->last, b->last) - std::max(a->first, b->first) + 1);
        ++(a->last < b->last ? a : b);
    }
    return some.n_retained() - shared;
}

}  // namespace plasticity
