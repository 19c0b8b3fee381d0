#include "artifact/measured_series.h"

#include <algorithm>

namespace plasticity {

double MeasuredSeries::median() const {
    if (runs.empty()) return 0;
    std::vector<double> sorted = runs;
    std::ranges::sort(sorted);
    const std::size_t middle = sorted.size() / 2;
    return sorted.size() % 2 == 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}

double MeasuredSeries::spread() const {
    if (runs.empty()) return 0;
    const auto [lowest, highest] = std::ranges::minmax_element(runs);
    return (*highest - *lowest) / median();
}

}  // namespace plasticity
