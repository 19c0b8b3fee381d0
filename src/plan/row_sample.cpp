#include "plan/row_sample.h"

#include <algorithm>
#include <numeric>

namespace plasticity {
namespace {

std::vector<std::int64_t> heaviest_first(std::span<const double> weights) {
    std::vector<std::int64_t> order(weights.size());
    std::iota(order.begin(), order.end(), std::int64_t{0});
    std::ranges::stable_sort(order, std::greater<>(),
                             [&](std::int64_t row) { return weights[static_cast<std::size_t>(row)]; });
    return order;
}

}  // namespace

RowSample sample_rows(std::span<const double> weights, std::size_t n) {
    const auto weight_of = [&](std::int64_t row) { return weights[static_cast<std::size_t>(row)]; };
    std::vector<std::int64_t> order = heaviest_first(weights);
    const std::size_t n_heavy = n < weights.size() ? n / 4 : weights.size();
    const auto light = order.begin() + static_cast<std::ptrdiff_t>(n_heavy);
    std::sort(light, order.end());

    // The heavy rows, then the middles of equal runs of the others.
    const std::size_t n_light = weights.size() - n_heavy, n_spread = n < weights.size() ? n - n_heavy : 0;
    double light_sum = 0, spread_sum = 0;
    for (auto row = light; row != order.end(); ++row) light_sum += weight_of(*row);
    std::vector<std::int64_t> rows(order.begin(), light);
    for (std::size_t i = 0; i < n_spread; ++i) {
        rows.push_back(light[static_cast<std::ptrdiff_t>((2 * i + 1) * n_light / (2 * n_spread))]);
        spread_sum += weight_of(rows.back());
    }
    const double scale = spread_sum > 0 ? light_sum / spread_sum : 0;

    std::vector<std::size_t> ascending(rows.size());
    std::iota(ascending.begin(), ascending.end(), std::size_t{0});
    std::ranges::sort(ascending, {}, [&](std::size_t at) { return rows[at]; });
    RowSample sample;
    for (const std::size_t at : ascending) {
        sample.rows.push_back(rows[at]);
        sample.factors.push_back(weight_of(rows[at]) * (at < n_heavy ? 1 : scale));
    }
    return sample;
}

}  // namespace plasticity
