#pragma once

#include <cstddef>
#include <span>
#include <vector>

#include "engine/adamw.h"
#include "engine/backpropagation.h"
#include "model/model.h"

namespace plasticity {

/// A norm's weight, a bias, or the factors on a matrix' rows, while they are trained: start + unit · change, so that
/// one learning rate serves all.
struct TrainedVector {
    TensorId id;  ///< a matrix' stands for its rows' factors
    std::vector<float> start;
    std::vector<float> unit;      ///< a norm's weight: its own size; a bias: the mean size of its entries; a factor: 1
    std::vector<float> change;    ///< what is trained
    std::vector<float> gradient;  ///< ∂loss/∂change

    std::vector<float> values() const;
};

/// All norms and biases of a model, and the rows of its blocks' matrices as far as their types can be scaled in place.
class TrainedVectors {
public:
    /// @throws Error (kMalformed, kIo)
    explicit TrainedVectors(const Model& model);
    TrainedVectors(const TrainedVectors&) = delete;
    TrainedVectors& operator=(const TrainedVectors&) = delete;

    const std::vector<TrainedVector>& vectors() const { return vectors_; }
    std::int64_t n_values() const;
    /// The factors among them, for the engine. Valid as long as this is.
    const RowScales& row_scales() const { return row_scales_; }
    /// Takes a step's gradients. Valid as long as this is.
    VectorObserver observer();
    /// One step; the engine gets the new values, and gradients are zero again.
    void step(Backpropagation& engine, double learning_rate);

private:
    std::vector<TrainedVector> vectors_;
    RowScales row_scales_;
    AdamW optimizer_;
};

}  // namespace plasticity
