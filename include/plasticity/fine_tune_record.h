#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace plasticity {

/// How an adapter was trained while gradients were captured, and what became of the loss: `fine_tune` in
/// gate_gradients.json. docs/pipeline.md says what is computed.
struct FineTuneRecord {
    std::int32_t rank = 0;
    double alpha = 0;
    std::vector<std::string> targets;  ///< "q_proj", …
    std::int32_t epochs = 0;
    std::int32_t batch = 0;  ///< examples of a step
    double learning_rate = 0;
    double warmup = 0;  ///< share of steps
    double weight_decay = 0;
    double dropout = 0;
    bool shuffle = false;
    std::int32_t holdout_every = 0;
    std::uint64_t seed = 0;

    struct HeldOutLoss {
        std::int64_t step = 0;  ///< steps before it
        double loss = 0;
        bool operator==(const HeldOutLoss&) const = default;
    };
    std::vector<double> training_losses;       ///< [step] nats per token
    std::vector<HeldOutLoss> held_out_losses;  ///< empty: nothing was held out

    bool operator==(const FineTuneRecord&) const = default;
};

}  // namespace plasticity
