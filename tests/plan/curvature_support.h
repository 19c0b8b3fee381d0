#pragma once

// Statistics with curvature for tiny models: numbers that look random and are the same everywhere.

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "artifact/statistics.h"
#include "core/progress.h"
#include "model/model.h"
#include "support/temp_dir.h"
#include "support/tiny_model.h"

namespace plasticity::test {

inline Progress& quiet() {
    static const std::unique_ptr<Progress> progress = make_progress(ProgressStyle::kQuiet);
    return *progress;
}

inline std::vector<double> scattered(std::int64_t n, std::uint32_t& state) {
    std::vector<double> values;
    for (std::int64_t i = 0; i < n; ++i) {
        state = state * 1664525u + 1013904223u;
        values.push_back(0.25 + static_cast<double>(state >> 8) / static_cast<double>(1u << 24));
    }
    return values;
}

/// Every matrix of the model in every use, with gates for the attention outputs.
inline Statistics synthetic_curvature(const Model& model, std::uint32_t seed = 1) {
    Statistics statistics;
    std::uint32_t state = seed;
    for (const ModelTensor& tensor : model.tensors()) {
        if (tensor.is_vector) continue;
        statistics.matrices[tensor.name] = {scattered(tensor.cols, state), 100};
        std::vector<std::string> uses{tensor.name};
        if (tensor.id.role == TensorRole::kTokenEmbedding) uses.push_back(lookup_key(tensor.name));
        for (const std::string& use : uses) {
            CurvatureStatistics& entry = statistics.curvature[use];
            entry.rows = scattered(tensor.rows, state);
            entry.columns = scattered(tensor.cols, state);
            entry.count = 100;
            if (tensor.id.role == TensorRole::kAttentionOutput)
                entry.gates =
                    scattered(model.architecture().layers[static_cast<std::size_t>(tensor.id.layer)].n_head, state);
        }
    }
    return statistics;
}

}  // namespace plasticity::test
