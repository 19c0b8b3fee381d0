#pragma once

#include <span>
#include <vector>

namespace plasticity {

/// A plan whose damage was predicted and measured, both in nats per token.
struct MeasuredCorner {
    double predicted = 0;  ///< sum of second-order damages, above 0
    double measured = 0;   ///< KL divergence, above 0
};

/// D = d + c · (1 − exp(−κ · Σ s)): what measured divergence is of predicted damages' sum. Engines round activations
/// for quantised weights, however fine: d, which no damage of weights foresees. And damage saturates: a model that is
/// thrown off its course already cannot be thrown off as far again. d + c is where it would end, c · κ the slope at 0.
struct SaturatingFit {
    double floor = 0;           ///< d, nats per token
    double ceiling = 0;         ///< c, nats per token
    double rate = 0;            ///< κ, per nat
    double relative_error = 0;  ///< one standard error of a prediction between corners, as a share of it

    double operator()(double predicted) const;
};

/// Least squares of relative errors: corners lie orders of magnitude apart. For every κ of a grid d ≥ 0 and c are the
/// solution of two linear equations; the best κ is then bracketed. Deterministic. `relative_error` is the root mean
/// square of what corners between the smallest and the largest are off by when the others alone are fitted (of what all
/// are off by where there are fewer than four).
/// @throws Error (kInternal) without corners, or with one that is not above 0
SaturatingFit fit_saturation(std::span<const MeasuredCorner> corners);

}  // namespace plasticity
