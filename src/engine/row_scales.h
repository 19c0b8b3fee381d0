#pragma once

#include <span>
#include <vector>

#include "engine/backend.h"
#include "engine/lora_graph.h"
#include "model/tensor_names.h"

namespace plasticity {

/// Factors on the rows of a matrix: y = scales ⊙ W x (+ bias).
struct ScaledMatrix {
    TensorId id;
    std::vector<float> scales;  ///< [rows]
};

/// Of matrices of blocks, block by block.
using RowScales = std::vector<ScaledMatrix>;

using LayerRowScales = PerProjection<ggml_tensor*>;

/// The factors of one block as inputs of a graph.
class RowScaleInputs {
public:
    /// @param scales  nullptr: none; must outlive this
    RowScaleInputs(GraphWorkspace& graph, const RowScales* scales, int layer);

    /// nullptr where the block has none.
    const LayerRowScales* nodes() const { return filled_.empty() ? nullptr : &nodes_; }
    /// Once the graph is prepared.
    void fill() const;

private:
    struct Input {
        const ScaledMatrix* matrix;
        ggml_tensor* node;
    };

    LayerRowScales nodes_{};
    std::vector<Input> filled_;
};

}  // namespace plasticity
