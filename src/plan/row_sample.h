#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace plasticity {

/// Some rows of a matrix that stand for all of them: Σ over all rows of weight · error ≈ Σ over these of factor ·
/// error.
struct RowSample {
    std::vector<std::int64_t> rows;  ///< ascending
    std::vector<double> factors;
};

/// A quarter of the sample are the heaviest rows, taken as they are; the others lie evenly spread over what is left,
/// and their factors are scaled so that all factors sum to the sum of all weights. Deterministic.
/// @param weights  [rows] ≥ 0
/// @param n        rows wanted, at least 1; all rows where there are no more
RowSample sample_rows(std::span<const double> weights, std::size_t n);

}  // namespace plasticity
