#include "engine/row_scales.h"

namespace plasticity {

RowScaleInputs::RowScaleInputs(GraphWorkspace& graph, const RowScales* scales, int layer) {
    if (scales == nullptr) return;
    for (const ScaledMatrix& matrix : *scales) {
        if (matrix.id.layer != layer) continue;
        ggml_tensor* node = graph.input(GGML_TYPE_F32, static_cast<std::int64_t>(matrix.scales.size()));
        nodes_.of(matrix.id.role) = node;
        filled_.push_back({&matrix, node});
    }
}

void RowScaleInputs::fill() const {
    for (const auto& [matrix, node] : filled_) plasticity::fill<float>(node, matrix->scales);
}

}  // namespace plasticity
