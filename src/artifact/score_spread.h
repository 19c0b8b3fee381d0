#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "artifact/gate_gradients.h"

namespace plasticity {

/// One query head and what two tasks make of it.
struct HeadSpread {
    std::int32_t layer = 0;
    std::int32_t head = 0;
    double first = 0;   ///< score in [0, 1]
    double second = 0;  ///< likewise
};

/// How far the head scores of two tasks, or of two samples of one task, lie apart.
struct ScoreSpread {
    /// Spearman's, over all heads; ties have the mean of their ranks. NaN where all scores of one side are alike.
    double rank_correlation = 0;
    double mean_difference = 0;       ///< mean |first - second|
    std::vector<HeadSpread> largest;  ///< at most `n_largest`, the furthest apart first
};

/// @throws Error (kUsage) where the two are of models with other layers or heads
ScoreSpread score_spread(const GateGradients& first, const GateGradients& second, std::size_t n_largest = 10);

/// Spearman's rank correlation of two equally long rows; ties have the mean of their ranks.
double rank_correlation(const std::vector<double>& first, const std::vector<double>& second);

}  // namespace plasticity
