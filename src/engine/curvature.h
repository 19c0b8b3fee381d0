#pragma once

#include <cstdint>
#include <functional>
#include <span>

#include "model/tensor_names.h"

namespace plasticity {

/// How sharply the KL divergence from the model bends where a matrix errs, on one sequence.
///
/// With L = Σ cross-entropy of labels drawn from the model's own distribution, the expected square of ∂L/∂W_rc is the
/// diagonal of the Fisher information F, which is the second derivative of KL(model ‖ changed model) summed over the
/// sequence's targets: independent errors ΔW add ½ Σ_rc F_rc ΔW_rc². F is kept as its row and column sums.
/// Source: Martens 2014, "New insights and perspectives on the natural gradient method", sections 5 and 9.
struct MatrixCurvature {
    TensorId matrix;
    bool is_lookup = false;           ///< the embedding as it is read; a tied one is also an output matrix
    std::span<const double> rows;     ///< [rows] Σ_c (∂L/∂W_rc)²
    std::span<const double> columns;  ///< [cols] Σ_r (∂L/∂W_rc)²
    std::int64_t n_targets = 0;       ///< that labels were drawn for
};

/// ∂L/∂gate of what a matrix reads, for the same labels: of a layer's heads, or of the channels of its feed-forward
/// part. Summed over targets, where ExampleGradients::gates are a mean.
struct GateSlopes {
    TensorId matrix;                 ///< an attention output, or down
    std::span<const double> slopes;  ///< [query head] or [channel]
};

/// Sees one sequence's curvature, part by part; the spans are valid during the calls.
struct CurvatureObserver {
    std::function<void(const MatrixCurvature&)> matrix;
    std::function<void(const GateSlopes&)> gates;
};

/// The first id at which the cumulated probabilities exceed `uniform` times their sum.
/// @param probabilities  ≥ 0, not all zero
std::int32_t draw_label(std::span<const float> probabilities, double uniform);

}  // namespace plasticity
