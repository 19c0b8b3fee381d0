#pragma once

#include <map>
#include <span>
#include <string>
#include <vector>

#include "artifact/fine_tune_record.h"
#include "engine/adamw.h"
#include "engine/backpropagation.h"
#include "engine/learning_rate.h"
#include "plasticity/score.h"
#include "score/example_order.h"
#include "score/team.h"

namespace plasticity {

/// What draws of a run are for; each has its own, whatever the others draw.
enum class RandomUse : std::uint64_t { kAdapter, kShuffle, kDropout };
std::uint64_t seed_of(RandomUse use, std::uint64_t seed);

/// @throws Error (kUsage) naming the option that is out of its range
void require_sound(const FineTuneOptions& options);

struct FineTunePlan {
    const FineTuneOptions& options;
    std::uint64_t seed;
    std::size_t n_per_epoch;  ///< examples
};

/// Trains the adapter of an engine on the examples that it is shown.
class FineTune {
public:
    using State = std::map<std::string, std::vector<double>>;

    /// @param adapter  the one that the engine uses; must outlive this, as `team` must
    FineTune(Backpropagation& engine, LoraAdapter& adapter, const FineTunePlan& plan, const Team& team);

    /// The place in ExampleOrder::visits behind the batch of one that is there.
    std::size_t end_of_batch(std::size_t visit) const;
    LoraDropout dropout_of(std::size_t visit) const;
    /// Gradients of examples of one batch, gates and adapter. @param first  place of the first in ExampleOrder::visits
    std::vector<ExampleGradients> sweep(std::span<const Visit> visits, std::size_t first,
                                        const SweepObservers& observers);
    /// Counts an example's loss, whoever computed it, and takes the step if it was the last of its batch.
    /// @returns whether it was
    bool step_if_due(std::size_t visit, double loss);
    /// Mean loss of held-out examples, as the adapter is now; noted in the record.
    double measure(const std::vector<const Example*>& held_out);

    const FineTuneRecord& record() const { return record_; }
    double learning_rate() const { return schedule_.at(optimizer_.state().n_steps); }  ///< of the next step

    /// Between two steps: everything that the rest of the run depends on.
    State state() const;
    /// @returns false, all then being as it was, where that is not a state of such a run
    bool restore(const State& state);

private:
    std::size_t size_of_batch(std::size_t visit) const;
    double weight_of(std::size_t visit) const { return 1.0 / static_cast<double>(size_of_batch(visit)); }

    Backpropagation& engine_;
    LoraAdapter& adapter_;
    FineTuneOptions options_;
    std::uint64_t dropout_seed_;
    std::size_t n_per_epoch_;
    const Team& team_;
    LearningRate schedule_;
    AdamW optimizer_;
    std::vector<LoraGradient> gradients_;
    double batch_loss_ = 0;
    FineTuneRecord record_;
};

}  // namespace plasticity
