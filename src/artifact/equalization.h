#pragma once

#include <memory>
#include <optional>

#include "artifact/channel_scales.h"
#include "artifact/gram.h"
#include "artifact/statistics.h"
#include "model/model.h"

namespace plasticity {

/// What `plan --equalize` takes. Of ¼, ½, ¾ and 1 the best, or as good as the best, on a text that figures are not of.
inline constexpr double kEqualizationStrength = 0.5;

/// Scales that leave channels which share the blocks of a quantised type alike in what an error in them costs and in
/// what errors they cause. A block has one step for all its columns. Where column c has the mean square W_c and reads
/// the mean square X_c, its error costs as X_c and the step follows W_c; scaled by s, as X_c ÷ s² and W_c s². The
/// product of their sums is least where s⁴ = X_c ÷ W_c (Cauchy and Schwarz), so
///
///     s_c = (X_c ÷ W_c) ^ (strength ÷ 4)
///
/// divided by its geometric mean over the input, within 1/16 and 16, and rounded to eight bits, so that the last digits
/// of mathematical libraries do not show. W_c is of up to 256 rows, evenly spaced. Inputs without statistics, and those
/// that routers read, stay as they are. @throws Error (kMalformed) for weights that are not finite
/// Source: cross-layer equalization (Nagel et al., 2019), by activations as in AWQ (Lin et al., 2023).
std::shared_ptr<const ChannelScales> equalizing_scales(const Model& model, const Statistics& statistics,
                                                       double strength);

/// Statistics of the model with its channels scaled. Exact for Σx² and gates; the curvature of a matrix is known by its
/// sums over rows and columns only and changes as if it were their product.
Statistics scaled_statistics(Statistics statistics, const Model& model, const ChannelScales& scales);

/// A model and what was measured of it, all as if its channels were scaled from the first.
/// @param strength  0: all stays as it is
/// @throws Error (kUsage) without statistics
void equalize(std::unique_ptr<Model>& model, std::optional<Statistics>& statistics, std::optional<GramFile>& gram,
              double strength);

}  // namespace plasticity
