#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace plasticity {

struct AdamWOptions {
    double beta1 = 0.9;
    double beta2 = 0.999;
    double epsilon = 1e-8;
    double weight_decay = 0;  ///< decoupled: each step takes learning rate · this share off every value
};

/// An array that is trained, and the loss' gradient with respect to it.
struct TrainedArray {
    std::span<float> values;
    std::span<const float> gradients;
};

/// Adam with decoupled weight decay over several arrays, as PyTorch's AdamW. Moments are F32 on the host; every
/// value is updated for itself, so nothing depends on threads. Source: Loshchilov & Hutter 2019, "Decoupled Weight
/// Decay Regularization".
class AdamW {
public:
    /// @param sizes  of the arrays, entries
    AdamW(std::span<const std::size_t> sizes, const AdamWOptions& options);

    /// @param arrays  as many and as large as was said
    void step(std::span<const TrainedArray> arrays, double learning_rate);

    /// All there is to keep, for checkpoints.
    struct State {
        std::int64_t n_steps = 0;
        std::vector<std::vector<float>> first, second;  ///< moments, [array][entry]
    };
    State& state() { return state_; }
    const State& state() const { return state_; }

private:
    AdamWOptions options_;
    State state_;
};

}  // namespace plasticity
