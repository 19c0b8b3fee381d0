#pragma once

#include <cstddef>
#include <cstdint>

#include "quant/scalar_blocks.h"
#include "quant/signed_grid.h"

namespace plasticity {

/// Rows of a matrix that error feedback handles side by side, one in each lane. Sums never run across lanes, so a row's
/// result does not depend on those beside it, nor on the width of vectors.
inline constexpr std::size_t kFeedbackLanes = 64;

/// Neighbouring columns that are handled together; divides the groups of every type.
inline constexpr std::size_t kPanelColumns = 16;

/// Scale and offset that a panel's weights are stored under, by lane.
struct PanelScales {
    alignas(64) float scale[kFeedbackLanes];
    alignas(64) float offset[kFeedbackLanes];
};

/// A panel, before its columns are gone through one by one.
struct PanelWork {
    std::size_t width;          ///< columns, 1 to kPanelColumns
    const float* coefficients;  ///< [width][kPanelColumns]: what the panel's own errors ask of later columns
    const float* targets;       ///< [width][kFeedbackLanes]: the columns and the feedback of all before the panel
};

/// targets += coefficientsᵀ · errors, in ascending order of the `count` errors.
/// @param coefficients  [count][kPanelColumns]
/// @param errors        [count][kFeedbackLanes]
/// @param targets       [kPanelColumns][kFeedbackLanes]
void add_feedback(const float* coefficients, const float* errors, std::size_t count, float* targets);

/// Gives each column of a panel in turn the code nearest to its target, and passes its error on to those that follow.
/// @param columns  [width][kFeedbackLanes]: in: the weights; out: weight − dequantised
/// @param codes    [width][kFeedbackLanes]
void assign_with_feedback(const ScalarFormat& format, const PanelScales& scales, const PanelWork& panel, float* columns,
                          std::uint8_t* codes);

/// A panel's points and signs: of its first width / dims cells and width weights.
struct PanelPoints {
    std::int32_t points[kPanelColumns / 4][kFeedbackLanes];
    std::uint8_t signs[kPanelColumns][kFeedbackLanes];  ///< 1: negative
};

/// Among what a panel's points are chosen, and by what.
struct PointChoice {
    const SignedGrid& grid;
    const float* scales;   ///< [kFeedbackLanes] of a magnitude in eighths
    const float* weights;  ///< [width]: what an error counts in each column
};

/// As assign_with_feedback, where a code stands for a point of a grid: cell after cell the point whose weighted squared
/// distance from the targets is least, signs as the targets have them.
/// @param panel  of whole cells
void assign_points_with_feedback(const PointChoice& choice, const PanelWork& panel, float* columns,
                                 PanelPoints& chosen);

/// Adds to each lane what a panel's errors cost: Σ_c weights[c] · (target[c] + feedback of the panel's own errors)².
/// @param weights  [width]
/// @param panel    whose targets are its errors with feedback
/// @param errors   [width][kFeedbackLanes]
/// @param damage   [kFeedbackLanes]
void add_damage(const float* weights, const PanelWork& panel, const float* errors, float* damage);

/// No target goes beyond what 16-bit scales can reach, so that squares of targets stay finite: [kPanelColumns][lanes].
void clamp_targets(float* targets);

}  // namespace plasticity
