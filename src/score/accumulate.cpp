#include "score/accumulate.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "core/error.h"

namespace plasticity {
namespace {

void add(std::vector<double>& sums, std::span<const double> values) {
    sums.resize(values.size(), 0.0);
    for (std::size_t i = 0; i < values.size(); ++i) sums[i] += values[i];
}

void add_checked(std::vector<double>& sums, const std::vector<double>& values, const std::string& name,
                 std::string_view from) {
    if (!sums.empty() && sums.size() != values.size())
        throw Error(ErrorKind::kMalformed,
                    fmt::format("{}: {} has {} sums; those before it have {}", from, name, values.size(), sums.size()));
    add(sums, values);
}

}  // namespace

GateGradients empty_gate_gradients(const Architecture& architecture) {
    GateGradients gradients;
    for (const LayerGeometry& layer : architecture.layers) {
        gradients.num_heads = std::max(gradients.num_heads, layer.n_head);
        gradients.num_kv_heads = std::max(gradients.num_kv_heads, layer.n_head_kv);
        gradients.layer_kv_heads.push_back(layer.n_head_kv);
        const std::vector<double> zeros(static_cast<std::size_t>(layer.n_head), 0.0);
        gradients.absolute_sums.push_back(zeros);
        gradients.signed_sums.push_back(zeros);
        gradients.moving_averages.push_back(zeros);
    }
    return gradients;
}

void add_example(GateGradients& gradients, const Example& example, const ExampleGradients& result) {
    const bool is_first = gradients.num_steps == 0;
    for (std::size_t layer = 0; layer < result.gates.size(); ++layer) {
        for (std::size_t head = 0; head < result.gates[layer].size(); ++head) {
            const double g = result.gates[layer][head];
            if (!std::isfinite(g))
                throw Error(
                    ErrorKind::kMalformed,
                    fmt::format("score: the gradient at layer {}, head {} is {} in example {}; expected a finite "
                                "number. Are the weights sound? Try --precision f32",
                                layer, head, g, gradients.num_steps));
            gradients.absolute_sums[layer][head] += std::fabs(g);
            gradients.signed_sums[layer][head] += g;
            double& average = gradients.moving_averages[layer][head];
            average = is_first ? std::fabs(g) : average + kMovingAverageWeight * (std::fabs(g) - average);
            if (is_first && gradients.slice) gradients.slice->first_gradients[layer][head] = std::fabs(g);
        }
    }
    gradients.num_steps += 1;
    gradients.num_tokens += example.n_targets();
    gradients.mean_loss += (result.loss - gradients.mean_loss) / static_cast<double>(gradients.num_steps);
}

void add_activations(Statistics& statistics, std::span<const TensorId> matrices, std::span<const float> rows,
                     std::int64_t channels) {
    const auto width = static_cast<std::size_t>(channels);
    std::vector<double> sums(width, 0.0);
    std::int64_t n_rows = 0;
    for (std::size_t row = 0; row < rows.size(); row += width, ++n_rows)
        for (std::size_t channel = 0; channel < width; ++channel)
            sums[channel] += static_cast<double>(rows[row + channel]) * rows[row + channel];
    for (const TensorId& id : matrices) {
        ChannelStatistics& entry = statistics.matrices[gguf_name(id)];
        entry.sum_of_squares.resize(width, 0.0);
        for (std::size_t channel = 0; channel < width; ++channel) entry.sum_of_squares[channel] += sums[channel];
        entry.count += n_rows;
    }
}

void add_curvature(Statistics& statistics, const MatrixCurvature& curvature) {
    const std::string name = gguf_name(curvature.matrix);
    CurvatureStatistics& entry = statistics.curvature[curvature.is_lookup ? lookup_key(name) : name];
    add(entry.rows, curvature.rows);
    add(entry.columns, curvature.columns);
    entry.count += curvature.n_targets;
}

void add_curvature(Statistics& statistics, const GateSlopes& gates) {
    if (gates.slopes.empty()) return;
    auto& sums = statistics.curvature[gguf_name(gates.matrix)].gates;
    sums.resize(gates.slopes.size(), 0.0);
    for (std::size_t head = 0; head < sums.size(); ++head) sums[head] += gates.slopes[head] * gates.slopes[head];
}

void add_statistics(Statistics& sum, const Statistics& more, std::string_view from) {
    for (const auto& [name, channels] : more.matrices) {
        ChannelStatistics& entry = sum.matrices[name];
        add_checked(entry.sum_of_squares, channels.sum_of_squares, name, from);
        entry.count += channels.count;
    }
    for (const auto& [name, curvature] : more.curvature) {
        CurvatureStatistics& entry = sum.curvature[name];
        add_checked(entry.rows, curvature.rows, name, from);
        add_checked(entry.columns, curvature.columns, name, from);
        if (!curvature.gates.empty()) add_checked(entry.gates, curvature.gates, name, from);
        entry.count += curvature.count;
    }
    sum.chunk_count += more.chunk_count;
}

}  // namespace plasticity
