#pragma once

#include <vector>

namespace plasticity {

/// One figure, measured several times.
struct MeasuredSeries {
    std::vector<double> runs;  ///< in the order measured

    double median() const;  ///< 0 without runs
    double spread() const;  ///< (highest − lowest) ÷ median; 0 is best
};

}  // namespace plasticity
