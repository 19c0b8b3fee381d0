#include "artifact/score_spread.h"

#include <fmt/format.h>

#include <algorithm>
#include <cassert>
#include <cmath>
#include <functional>
#include <numeric>
#include <utility>

#include "core/error.h"

namespace plasticity {
namespace {

using Scores = std::vector<std::vector<double>>;

std::vector<double> ranks_of(const std::vector<double>& values) {
    std::vector<std::size_t> order(values.size());
    std::iota(order.begin(), order.end(), 0);
    std::ranges::sort(order, {}, [&](std::size_t i) { return values[i]; });
    std::vector<double> ranks(values.size());
    for (std::size_t begin = 0, end = 0; begin < order.size(); begin = end) {
        while (end < order.size() && values[order[end]] == values[order[begin]]) ++end;
        const double mean_rank = static_cast<double>(begin + end - 1) / 2;
        for (std::size_t i = begin; i < end; ++i) ranks[order[i]] = mean_rank;
    }
    return ranks;
}

void require_alike(const Scores& first, const Scores& second) {
    if (first.size() != second.size())
        throw Error(ErrorKind::kUsage,
                    fmt::format("the scores are of different models: {} layers against {}; give two files of one model",
                                first.size(), second.size()));
    for (std::size_t layer = 0; layer < first.size(); ++layer)
        if (first[layer].size() != second[layer].size())
            throw Error(ErrorKind::kUsage,
                        fmt::format("the scores are of different models: layer {} has {} heads against {}; give two "
                                    "files of one model",
                                    layer, first[layer].size(), second[layer].size()));
}

}  // namespace

double rank_correlation(const std::vector<double>& first, const std::vector<double>& second) {
    assert(first.size() == second.size());
    const std::vector<double> a = ranks_of(first), b = ranks_of(second);
    const double mean = (static_cast<double>(a.size()) - 1) / 2;  // of ranks, whatever the ties
    double ab = 0, aa = 0, bb = 0;
    for (std::size_t i = 0; i < a.size(); ++i) {
        ab += (a[i] - mean) * (b[i] - mean);
        aa += (a[i] - mean) * (a[i] - mean);
        bb += (b[i] - mean) * (b[i] - mean);
    }
    return ab / std::sqrt(aa * bb);
}

ScoreSpread score_spread(const GateGradients& first, const GateGradients& second, std::size_t n_largest) {
    const Scores a = first.layer_scores(), b = second.layer_scores();
    require_alike(a, b);
    std::vector<double> all_a, all_b;
    ScoreSpread spread;
    for (std::size_t layer = 0; layer < a.size(); ++layer)
        for (std::size_t head = 0; head < a[layer].size(); ++head) {
            all_a.push_back(a[layer][head]);
            all_b.push_back(b[layer][head]);
            spread.mean_difference += std::abs(a[layer][head] - b[layer][head]);
            spread.largest.push_back({.layer = static_cast<std::int32_t>(layer),
                                      .head = static_cast<std::int32_t>(head),
                                      .first = a[layer][head],
                                      .second = b[layer][head]});
        }
    if (!all_a.empty()) spread.mean_difference /= static_cast<double>(all_a.size());
    spread.rank_correlation = rank_correlation(all_a, all_b);
    std::ranges::stable_sort(spread.largest, std::greater(),
                             [](const HeadSpread& head) { return std::abs(head.first - head.second); });
    spread.largest.resize(std::min(spread.largest.size(), n_largest));
    return spread;
}

}  // namespace plasticity
