#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "engine/lora_training.h"

namespace plasticity {

struct AdamWOptions {
    double beta1 = 0.9;
    double beta2 = 0.999;
    double epsilon = 1e-8;
    double weight_decay = 0;  ///< decoupled: each step takes learning rate · this share off every value
};

/// Adam with decoupled weight decay over an adapter's values, as PyTorch's AdamW. Moments are F32 on the host; every
/// value is updated for itself, so nothing depends on threads. Source: Loshchilov & Hutter 2019, "Decoupled Weight
/// Decay Regularization".
class AdamW {
public:
    AdamW(const LoraAdapter& adapter, const AdamWOptions& options);

    /// @param gradients  [matrix of the adapter]
    void step(LoraAdapter& adapter, std::span<const LoraGradient> gradients, double learning_rate);

    /// All there is to keep, for checkpoints.
    struct State {
        std::int64_t n_steps = 0;
        std::vector<LoraGradient> first, second;  ///< moments, [matrix of the adapter]
    };
    State& state() { return state_; }
    const State& state() const { return state_; }

private:
    AdamWOptions options_;
    State state_;
};

}  // namespace plasticity
