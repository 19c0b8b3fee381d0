#include "engine/lora_training.h"

namespace plasticity {

std::vector<LoraGradient> zero_gradients(const LoraAdapter& adapter) {
    std::vector<LoraGradient> gradients;
    for (const LoraMatrix& matrix : adapter.matrices)
        gradients.push_back({std::vector<float>(matrix.a.size()), std::vector<float>(matrix.b.size())});
    return gradients;
}

}  // namespace plasticity
