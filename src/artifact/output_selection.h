#pragma once

#include <cstdint>
#include <vector>

#include "artifact/recipe.h"
#include "model/model.h"

namespace plasticity {

/// In place of a source row or column: zeros, which pad the output.
inline constexpr std::int64_t kZeros = -1;

/// Source row and column for each of the output's, in order, or kZeros; empty: all as they are.
struct WeightSelection {
    std::vector<std::int64_t> rows;
    std::vector<std::int64_t> cols;
};

/// What of a base's weight is in the output, in the order of the output's RoPE layout: heads and channels that stay,
/// and zeros behind them as the recipe's padding says. What pads the columns of single matrices is not in it.
/// @param source  a vector (norm, bias) has one row: its elements lie along the columns
WeightSelection select_weight(const ModelTensor& source, const Architecture& base, const Architecture& output,
                              const Recipe& recipe);

/// Zeros behind a dimension of the weight. @param length  of the source  @param padded  as wanted, at least what is
/// kept
void pad_end(std::vector<std::int64_t>& indices, std::int64_t length, std::int64_t padded);

}  // namespace plasticity
