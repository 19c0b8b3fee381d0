#include "plan/channel_damage.h"

#include <fmt/format.h>

#include <numeric>

#include "core/error.h"
#include "core/interrupt.h"
#include "core/parallel.h"
#include "plan/damage.h"
#include "plan/row_sample.h"
#include "plan/shrinkage.h"

namespace plasticity {
namespace {

/// Rows of every down that are read. The squares of a column are then known to some percent.
constexpr std::size_t kSampledRows = 256;

const CurvatureStatistics& curvature_of(const Statistics& statistics, const ModelTensor& down) {
    const CurvatureStatistics* curvature = statistics.find_curvature(down.name);
    if (curvature == nullptr)
        throw Error(ErrorKind::kUsage,
                    fmt::format("plan: --prune ffn needs the curvature of {}; expected --stats of score, made with "
                                "--curvature-every above 0",
                                down.name));
    return *curvature;
}

std::vector<double> damage_of_columns(const Model& model, const ModelTensor& down,
                                      const CurvatureStatistics& curvature) {
    const RowSample sample = sample_rows(curvature.rows, kSampledRows);
    const double rows = std::accumulate(curvature.rows.begin(), curvature.rows.end(), 0.0);
    const double unit = rows > 0 && curvature.count > 0 ? 0.5 / static_cast<double>(curvature.count) / rows : 0;
    std::vector<double> damages(static_cast<std::size_t>(down.cols), 0.0);
    std::vector<float> values(damages.size());
    for (std::size_t i = 0; i < sample.rows.size(); ++i) {
        throw_if_interrupted();
        model.read_rows_f32(down, sample.rows[i], 1, values);
        for (std::size_t col = 0; col < damages.size(); ++col)
            damages[col] += sample.factors[i] * double{values[col]} * double{values[col]};
    }
    for (std::size_t col = 0; col < damages.size(); ++col) damages[col] *= unit * curvature.columns[col];
    return damages;
}

}  // namespace

std::vector<std::vector<double>> channel_damage(const Model& model, const Statistics& statistics, int threads) {
    struct Layer {
        const ModelTensor* down;
        const CurvatureStatistics* curvature;
    };
    std::vector<Layer> layers;
    for (int layer = 0; layer < model.architecture().n_layer(); ++layer) {
        const ModelTensor* down = model.find({TensorRole::kDown, layer});
        if (down == nullptr)
            throw Error(ErrorKind::kUsage,
                        "plan: --prune ffn: channels of experts are not pruned; expected a model "
                        "without, or another --prune");
        layers.push_back({down, &curvature_of(statistics, *down)});
    }
    std::vector<std::vector<double>> damages(layers.size());
    parallel_for(thread_count(threads), layers.size(), [&](std::size_t layer) {
        const auto& [down, curvature] = layers[layer];
        damages[layer] = curvature->gates.empty()
                             ? damage_of_columns(model, *down, *curvature)
                             : shrunk(gate_damage(*curvature), sequence_count(statistics, *curvature));
    });
    return damages;
}

}  // namespace plasticity
