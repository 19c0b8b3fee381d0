#pragma once

#include <vector>

#include "artifact/statistics.h"
#include "model/model.h"

namespace plasticity {

/// What removing each channel of the feed-forward parts would cost: [layer][channel], KL divergence in nats per token,
/// to second order. Where the statistics have the channels' gates, that is what ½ / count · gates_c lets expect
/// (plan/shrinkage.h). Elsewhere it is what an
/// error of −W[:, c] in down costs by down's curvature (artifact/statistics.h),
///
///     ½ / count · Σ_r rows_r / (Σ rows) · columns_c · W_rc²
///
/// over a sample of down's rows, which are read. That errors of a column depend on one another is not seen then.
/// @throws Error (kUsage where the statistics do not hold the curvature of every down; kMalformed, kIo), Interrupted
std::vector<std::vector<double>> channel_damage(const Model& model, const Statistics& statistics, int threads);

}  // namespace plasticity
