#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "artifact/statistics.h"
#include "core/ranks.h"
#include "engine/backpropagation.h"
#include "engine/examples.h"

namespace plasticity {

/// The processes that share a run's examples out. Each sees all results, in the examples' order, so that all hold the
/// same adapter and the same sums of gates; statistics are each one's own until they are added up.
class Team {
public:
    /// Agrees with the others on the tokens that go through the network at once. All must call.
    Team(Ranks& ranks, std::int64_t tokens_at_once);

    int rank() const { return ranks_.rank(); }
    int size() const { return ranks_.size(); }

    /// Where the next group ends that goes through the network together. @param n_tokens_at  (place) → tokens
    template <typename TokensAt>
    std::size_t end_of_group(std::size_t first, std::size_t end, const TokensAt& n_tokens_at) const {
        return plasticity::end_of_group(first, end, tokens_at_once_, n_tokens_at);
    }

    /// What all computed, by rank. @param mine  gates with n_heads[layer] values
    std::vector<std::vector<ExampleGradients>> share(std::span<const ExampleGradients> mine,
                                                     std::span<const std::size_t> n_heads) const;
    /// All values, by rank.
    std::vector<std::vector<double>> share(std::span<const double> mine) const;
    /// Adds up what all hold, in rank order; all get the sums.
    void add_up(std::span<LoraGradient> gradients) const;
    void add_up(Statistics& statistics) const;

private:
    Ranks& ranks_;
    std::int64_t tokens_at_once_;
};

}  // namespace plasticity
