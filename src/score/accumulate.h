#pragma once

#include <cstdint>
#include <span>
#include <string_view>

#include "artifact/gate_gradients.h"
#include "artifact/statistics.h"
#include "engine/backpropagation.h"

namespace plasticity {

/// Weight of the newest example in the moving average.
inline constexpr double kMovingAverageWeight = 0.1;

/// Rows of the right lengths, all zero.
GateGradients empty_gate_gradients(const Architecture& architecture);

/// Adds one example. @throws Error (kMalformed) naming layer and head where a gradient is not finite
void add_example(GateGradients& gradients, const Example& example, const ExampleGradients& result);

/// Adds rows × channels of what `matrices` read, squared and summed per channel in double.
void add_activations(Statistics& statistics, std::span<const TensorId> matrices, std::span<const float> rows,
                     std::int64_t channels);

/// Adds what drawn labels said of a matrix.
void add_curvature(Statistics& statistics, const MatrixCurvature& curvature);
void add_curvature(Statistics& statistics, const GateSlopes& gates);

/// Adds what was seen of other examples. @param from  where `more` comes from, for errors
/// @throws Error (kMalformed) where a matrix has other sums
void add_statistics(Statistics& sum, const Statistics& more, std::string_view from);

}  // namespace plasticity
