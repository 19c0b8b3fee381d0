#pragma once

#include <array>

#include "model/tensor_names.h"

namespace plasticity {

/// The matrices of a block in the order in which people are told of them; experts are apart.
inline constexpr std::array kBlockMatrices{
    TensorRole::kQuery, TensorRole::kKey, TensorRole::kValue, TensorRole::kAttentionOutput,
    TensorRole::kGate,  TensorRole::kUp,  TensorRole::kDown};

}  // namespace plasticity
