#include "artifact/equalization.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <initializer_list>
#include <numeric>
#include <utility>

#include "artifact/importance.h"
#include "core/error.h"

namespace plasticity {
namespace {

constexpr std::int64_t kSampledRows = 256;
constexpr double kWidest = 16;
/// Of the largest: what lies below is as good as nothing.
constexpr double kLeastShare = 1e-12;

/// [cols] of up to kSampledRows rows, divided by the mean over columns.
std::vector<double> column_squares(const Model& model, const ModelTensor& matrix) {
    std::vector<double> squares(static_cast<std::size_t>(matrix.cols), 0.0);
    std::vector<float> row(squares.size());
    const std::int64_t n_sampled = std::min(kSampledRows, matrix.rows);
    for (std::int64_t sample = 0; sample < n_sampled; ++sample) {
        model.read_rows_f32(matrix, sample * matrix.rows / n_sampled, 1, row);
        for (std::size_t col = 0; col < row.size(); ++col) squares[col] += double{row[col]} * row[col];
    }
    const double mean = std::reduce(squares.begin(), squares.end()) / static_cast<double>(squares.size());
    if (!std::isfinite(mean))
        throw Error(
            ErrorKind::kMalformed,
            fmt::format("{} of {} holds weights that are not finite; expected finite ones. Is the model damaged?",
                        matrix.name, model.path().string()));
    if (mean > 0)
        for (double& square : squares) square /= mean;
    return squares;
}

void keep_above_nothing(std::vector<double>& values) {
    const double least = std::max(*std::ranges::max_element(values) * kLeastShare, 1e-300);
    for (double& value : values) value = std::max(value, least);
}

float rounded(double scale) {
    int exponent = 0;
    const double mantissa = std::frexp(scale, &exponent);
    return static_cast<float>(std::ldexp(std::round(mantissa * 256) / 256, exponent));
}

/// @param read      [channels] mean squares of what they carry  @param squares  [channels] of the columns
std::vector<float> balance(std::vector<double> read, std::vector<double> squares, double strength) {
    keep_above_nothing(read);
    keep_above_nothing(squares);
    std::vector<double> logs;
    for (std::size_t i = 0; i < read.size(); ++i) logs.push_back(strength / 4 * std::log(read[i] / squares[i]));
    const double mean = std::reduce(logs.begin(), logs.end()) / static_cast<double>(logs.size());
    std::vector<float> scales;
    for (const double log : logs) scales.push_back(rounded(std::clamp(std::exp(log - mean), 1 / kWidest, kWidest)));
    return scales;
}

/// Sums over the query heads of a KV group. @param heads  [n_head][head_dim] @returns  [n_head_kv][head_dim]
std::vector<double> by_group(const std::vector<double>& heads, const LayerGeometry& layer, std::int64_t head_dim) {
    std::vector<double> groups(static_cast<std::size_t>(layer.n_head_kv * head_dim), 0.0);
    for (std::int64_t i = 0; i < std::ssize(heads); ++i) {
        const std::int64_t group = i / head_dim / (layer.n_head / layer.n_head_kv);
        groups[static_cast<std::size_t>(group * head_dim + i % head_dim)] += heads[static_cast<std::size_t>(i)];
    }
    return groups;
}

class Balancing {
public:
    Balancing(const Model& model, const Statistics& statistics, double strength)
        : model_(model), statistics_(statistics), strength_(strength) {}

    BlockScales block(int layer) const {
        const Architecture& architecture = model_.architecture();
        const LayerGeometry& geometry = architecture.layers[static_cast<std::size_t>(layer)];
        BlockScales scales;
        if (geometry.n_head > 0) {
            scales.attention_input = of_input(layer, {TensorRole::kQuery, TensorRole::kKey, TensorRole::kValue});
            const Input heads = input(layer, {TensorRole::kAttentionOutput});
            if (!heads.read.empty())
                scales.values = balance(by_group(heads.read, geometry, architecture.head_dim),
                                        by_group(heads.squares, geometry, architecture.head_dim), strength_);
        }
        if (architecture.experts.count > 0) return scales;
        scales.feed_forward_input = of_input(layer, {TensorRole::kGate, TensorRole::kUp});
        scales.channels = of_input(layer, {TensorRole::kDown});
        return scales;
    }

private:
    struct Input {
        std::vector<double> read, squares;
    };

    /// Of matrices that read the same.
    Input input(int layer, std::initializer_list<TensorRole> readers) const {
        Input found;
        for (const TensorRole role : readers) {
            const ModelTensor& matrix = model_.require({role, layer});
            const std::vector<float> importance = channel_importance(statistics_, matrix);
            if (importance.empty()) return {};
            found.read.assign(importance.begin(), importance.end());
            const std::vector<double> squares = column_squares(model_, matrix);
            found.squares.resize(squares.size(), 0.0);
            std::ranges::transform(squares, found.squares, found.squares.begin(), std::plus());
        }
        return found;
    }

    std::vector<float> of_input(int layer, std::initializer_list<TensorRole> readers) const {
        Input found = input(layer, readers);
        if (found.read.empty()) return {};
        return balance(std::move(found.read), std::move(found.squares), strength_);
    }

    const Model& model_;
    const Statistics& statistics_;
    double strength_;
};

/// Σ of a line's parts, each times its weight, ÷ Σ of the parts: what the line becomes by factors across it.
double mean_factor(const std::vector<double>& across, const std::vector<double>& factors) {
    const double sum = std::reduce(across.begin(), across.end());
    return sum > 0 ? std::inner_product(across.begin(), across.end(), factors.begin(), 0.0) / sum : 1.0;
}

void require_shape(const CurvatureStatistics& curvature, const ModelTensor& matrix) {
    if (std::cmp_not_equal(curvature.rows.size(), matrix.rows) ||
        std::cmp_not_equal(curvature.columns.size(), matrix.cols))
        throw Error(
            ErrorKind::kMalformed,
            fmt::format("statistics of {} have the curvature of {} × {}; expected {} × {}. Are they another "
                        "model's?",
                        matrix.name, curvature.rows.size(), curvature.columns.size(), matrix.rows, matrix.cols));
}

/// A gradient by a weight that is multiplied is divided.
void scale_curvature(CurvatureStatistics& curvature, std::span<const float> columns, std::span<const float> divisors) {
    std::vector<double> by_column(curvature.columns.size(), 1.0), by_row(curvature.rows.size(), 1.0);
    for (std::size_t i = 0; i < columns.size(); ++i) by_column[i] = 1 / (double{columns[i]} * columns[i]);
    for (std::size_t i = 0; i < divisors.size(); ++i) by_row[i] = double{divisors[i]} * divisors[i];
    const double of_rows = mean_factor(curvature.columns, by_column), of_columns = mean_factor(curvature.rows, by_row);
    for (std::size_t i = 0; i < by_row.size(); ++i) curvature.rows[i] *= by_row[i] * of_rows;
    for (std::size_t i = 0; i < by_column.size(); ++i) curvature.columns[i] *= by_column[i] * of_columns;
}

}  // namespace

std::shared_ptr<const ChannelScales> equalizing_scales(const Model& model, const Statistics& statistics,
                                                       double strength) {
    const Balancing balancing(model, statistics, strength);
    std::vector<BlockScales> blocks;
    for (int layer = 0; layer < model.architecture().n_layer(); ++layer) blocks.push_back(balancing.block(layer));
    return std::make_shared<const ChannelScales>(model.architecture(), std::move(blocks));
}

Statistics scaled_statistics(Statistics statistics, const Model& model, const ChannelScales& scales) {
    for (const ModelTensor& tensor : model.tensors()) {
        if (!is_matrix(tensor.id)) continue;
        const std::span<const float> columns = scales.columns(tensor.id), divisors = scales.divisors(tensor.id);
        if (const auto found = statistics.matrices.find(tensor.name); found != statistics.matrices.end())
            for (std::size_t i = 0; i < columns.size(); ++i)
                found->second.sum_of_squares[i] /= double{columns[i]} * columns[i];
        if (const auto found = statistics.curvature.find(tensor.name); found != statistics.curvature.end()) {
            require_shape(found->second, tensor);
            scale_curvature(found->second, columns, divisors);
        }
    }
    return statistics;
}

void equalize(std::unique_ptr<Model>& model, std::optional<Statistics>& statistics, std::optional<GramFile>& gram,
              double strength) {
    if (strength == 0) return;
    if (!statistics)
        throw Error(ErrorKind::kUsage,
                    "equalization: channels are scaled by what they carry; expected --stats of score or an importance "
                    "matrix, the same for plan and compress");
    const auto scales = equalizing_scales(*model, *statistics, strength);
    statistics = scaled_statistics(*std::move(statistics), *model, *scales);
    if (gram) gram->scale_channels(scales);
    model = with_channel_scales(std::move(model), scales);
}

}  // namespace plasticity
