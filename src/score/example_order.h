#pragma once

#include <cstdint>
#include <vector>

#include "artifact/score_provenance.h"
#include "plasticity/score.h"

namespace plasticity {

/// Which examples are seen, in which order; members hold their places among all examples of the data.
struct ExampleOrder {
    std::vector<std::size_t> visits;    ///< epoch after epoch
    std::vector<std::size_t> held_out;  ///< never among the visits
    std::size_t n_per_epoch = 0;
    std::size_t first_observed = 0;  ///< visit from which on statistics are kept: those of the last epoch

    std::size_t n_epochs() const { return n_per_epoch == 0 ? 0 : visits.size() / n_per_epoch; }
    bool is_end_of_epoch(std::size_t visit) const { return (visit + 1) % n_per_epoch == 0; }
};

/// The slice's examples once, as they are; nothing held out.
ExampleOrder plain_order(const ScoreSlice& slice);
/// Those of i with i mod holdout_every = holdout_every − 1 held out, the others in every epoch, shuffled where asked
/// for.
/// @throws Error (kUsage) where nothing is left to train on
ExampleOrder training_order(std::size_t n_examples, const FineTuneOptions& options, std::uint64_t seed);

}  // namespace plasticity
