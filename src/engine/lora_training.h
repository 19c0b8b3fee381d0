#pragma once

#include <span>
#include <vector>

#include "artifact/lora_adapter.h"

namespace plasticity {

/// ∂loss/∂A and ∂loss/∂B of one adapted matrix, shaped as its LoraMatrix.
struct LoraGradient {
    std::vector<float> a;
    std::vector<float> b;
};

/// How examples take part in training the adapter.
struct LoraTraining {
    std::span<LoraGradient> gradients;  ///< [matrix of the adapter]: weight · gradient is added
    double weight = 1;                  ///< of an example in its step
};

/// Zeros for every matrix of the adapter.
std::vector<LoraGradient> zero_gradients(const LoraAdapter& adapter);

}  // namespace plasticity
