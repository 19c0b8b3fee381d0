#pragma once

#include <span>
#include <vector>

#include "engine/lora_graph.h"

namespace plasticity {

/// ∂loss/∂A and ∂loss/∂B of one adapted matrix, shaped as its LoraMatrix.
struct LoraGradient {
    std::vector<float> a;
    std::vector<float> b;
};

/// How one example takes part in training the adapter.
struct LoraTraining {
    std::span<LoraGradient> gradients;  ///< [matrix of the adapter]: weight · gradient is added
    double weight = 1;                  ///< of the example in its step
    LoraDropout dropout{};
};

/// Zeros for every matrix of the adapter.
std::vector<LoraGradient> zero_gradients(const LoraAdapter& adapter);

}  // namespace plasticity
