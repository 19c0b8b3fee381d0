#pragma once

#include <optional>
#include <vector>

#include "core/progress.h"
#include "engine/placed_tensors.h"
#include "engine/weights.h"
#include "model/model.h"

namespace plasticity {

/// Fills a Weights from a model: what stays, and where weights are streamed, the rest a part at a time.
class WeightLoader {
public:
    /// @param model    must outlive this, as `backend` must
    WeightLoader(const Model& model, const Backend& backend, const WeightOptions& options);

    /// All that stays in memory.
    void load(Weights& weights, Progress& progress);

    /// What comes and goes at once: the embedding, the output matrix, or a block.
    struct Part {
        TensorId id;  ///< of the matrix, or what block() gives
        MatrixOrders orders = MatrixOrders::kForward;
    };
    static TensorId block(int layer) { return {TensorRole::kFeedForwardNorm, layer}; }  ///< which every block has
    void hold(Weights& weights, const Part& part);

private:
    struct Job {
        const ModelTensor* source;
        ggml_tensor* target;
        ggml_tensor* transposed;
    };

    bool stays(const TensorId& part) const;
    bool holds(const Part& part) const;
    void release(Weights& weights);
    void declare_globals(Weights& weights, PlacedTensors& room);
    void declare(Weights& weights, PlacedTensors& room, const Part& part);
    void add(Weights& weights, PlacedTensors& room, const ModelTensor& source, MatrixOrders orders);
    Place place_of(const ModelTensor& source, ggml_type type) const;
    void fill(const Job& job) const;

    const Model& model_;
    const Backend& backend_;
    WeightOptions options_;
    std::vector<Job> jobs_;  ///< declared, not yet filled
    std::optional<Part> held_;
    PlacedTensors passing_;  ///< of the part that is held
};

}  // namespace plasticity
