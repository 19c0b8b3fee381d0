#include "plasticity/merge.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "artifact/gate_gradients.h"
#include "artifact/statistics.h"
#include "core/error.h"
#include "score/accumulate.h"
#include "score/slice_set.h"

namespace plasticity {
namespace {

namespace fs = std::filesystem;
using Rows = std::vector<std::vector<double>>;

/// The geometry stands in the model's hash; only a file that was edited can differ.
void require_same_heads(const Rows& a, const Rows& b, const fs::path& path) {
    const auto same_length = [](const auto& x, const auto& y) { return x.size() == y.size(); };
    if (!std::ranges::equal(a, b, same_length))
        throw Error(ErrorKind::kMalformed,
                    fmt::format("merge: {} has other layers or heads than the slices before it", path.string()));
}

void add_rows(Rows& sums, const Rows& values) {
    for (std::size_t layer = 0; layer < sums.size(); ++layer)
        for (std::size_t head = 0; head < sums[layer].size(); ++head) sums[layer][head] += values[layer][head];
}

/// A moving average starts at the first example's |g| = f, so after k examples a slice of its own has
/// e = (1 − w)^k f + (what its examples added). Going on from another average a instead gives
/// (1 − w)^k a + (e − (1 − w)^k f).
void continue_averages(Rows& averages, const GateGradients& slice) {
    const double kept = std::pow(1 - kMovingAverageWeight, static_cast<double>(slice.num_steps));
    for (std::size_t layer = 0; layer < averages.size(); ++layer)
        for (std::size_t head = 0; head < averages[layer].size(); ++head) {
            const double added = slice.moving_averages[layer][head] - kept * slice.slice->first_gradients[layer][head];
            averages[layer][head] = std::max(0.0, kept * averages[layer][head] + added);
        }
}

void add_slice(GateGradients& sum, const GateGradients& slice, const fs::path& path) {
    require_same_heads(sum.absolute_sums, slice.absolute_sums, path);
    add_rows(sum.absolute_sums, slice.absolute_sums);
    add_rows(sum.signed_sums, slice.signed_sums);
    continue_averages(sum.moving_averages, slice);
    const auto before = static_cast<double>(sum.num_steps), more = static_cast<double>(slice.num_steps);
    sum.mean_loss = (sum.mean_loss * before + slice.mean_loss * more) / (before + more);
    sum.num_steps += slice.num_steps;
    sum.num_tokens += slice.num_tokens;
}

}  // namespace

GateGradients merge_gate_gradients(const std::vector<fs::path>& slices) {
    std::vector<GateGradients> parts;
    std::vector<SliceFile> files;
    for (const fs::path& path : slices) {
        parts.push_back(load_gate_gradients(path));
        if (!parts.back().slice) refuse_whole_run(path);
        files.push_back({.path = path, .slice = parts.back().slice->part, .provenance = parts.back().provenance});
    }
    const std::vector<std::size_t> order = order_of_slices(files);
    GateGradients sum = parts[order.front()];
    for (std::size_t i = 1; i < order.size(); ++i) add_slice(sum, parts[order[i]], files[order[i]].path);
    sum.slice.reset();
    return sum;
}

Statistics merge_statistics(const std::vector<fs::path>& slices) {
    std::vector<Statistics> parts;
    std::vector<SliceFile> files;
    for (const fs::path& path : slices) {
        parts.push_back(load_statistics(path));
        const auto& origin = parts.back().origin;
        if (!origin) refuse_whole_run(path);
        files.push_back(
            {.path = path,
             .slice = origin->slice,
             .provenance = origin->provenance,
             .options = fmt::format("--curvature-every {} --seed {}", origin->curvature_every, origin->seed)});
    }
    const std::vector<std::size_t> order = order_of_slices(files);
    Statistics sum = parts[order.front()];
    for (std::size_t i = 1; i < order.size(); ++i)
        add_statistics(sum, parts[order[i]], "merge: " + files[order[i]].path.string());
    sum.origin.reset();
    return sum;
}

}  // namespace plasticity
