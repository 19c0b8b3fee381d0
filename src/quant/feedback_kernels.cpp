#include "quant/feedback_kernels.h"

#include "quant/vector_targets.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "quant/feedback_kernels.cpp"
#include <hwy/foreach_target.h>

#include "quant/grid_search-inl.h"

HWY_BEFORE_NAMESPACE();
namespace plasticity::HWY_NAMESPACE {

constexpr float kLargestTarget = 65504.0f;

/// Targets of some columns by two vectors of lanes stay in registers while errors pass by. SSE and AVX2 have 16.
constexpr std::size_t kTileColumns = HWY_ARCH_X86 && HWY_TARGET > HWY_AVX3 ? 4 : 8;
/// Errors that all tiles pass by in turn, while the nearest cache holds them.
constexpr std::size_t kErrorsTogether = 128;

HWY_INLINE void add_feedback_tile(const float* coefficients, const float* errors, std::size_t count, float* targets) {
    const FloatTag d;
    const std::size_t lanes = hn::Lanes(d);
    Floats low[kTileColumns], high[kTileColumns];
    for (std::size_t c = 0; c < kTileColumns; ++c) {
        low[c] = hn::Load(d, targets + c * kFeedbackLanes);
        high[c] = hn::Load(d, targets + c * kFeedbackLanes + lanes);
    }
    for (std::size_t i = 0; i < count; ++i) {
        const Floats first = hn::Load(d, errors + i * kFeedbackLanes);
        const Floats second = hn::Load(d, errors + i * kFeedbackLanes + lanes);
        for (std::size_t c = 0; c < kTileColumns; ++c) {
            const Floats factor = constant(coefficients[i * kPanelColumns + c]);
            low[c] = hn::Add(low[c], hn::Mul(factor, first));
            high[c] = hn::Add(high[c], hn::Mul(factor, second));
        }
    }
    for (std::size_t c = 0; c < kTileColumns; ++c) {
        hn::Store(low[c], d, targets + c * kFeedbackLanes);
        hn::Store(high[c], d, targets + c * kFeedbackLanes + lanes);
    }
}

void add_feedback(const float* coefficients, const float* errors, std::size_t count, float* targets) {
    const std::size_t step = 2 * hn::Lanes(FloatTag());
    for (std::size_t first = 0; first < count; first += kErrorsTogether) {
        const std::size_t some = HWY_MIN(kErrorsTogether, count - first);
        for (std::size_t c = 0; c < kPanelColumns; c += kTileColumns)
            for (std::size_t lane = 0; lane < kFeedbackLanes; lane += step)
                add_feedback_tile(coefficients + first * kPanelColumns + c, errors + first * kFeedbackLanes + lane,
                                  some, targets + c * kFeedbackLanes + lane);
    }
}

HWY_INLINE Floats bounded(Floats target) {
    return hn::Min(hn::Max(target, constant(-kLargestTarget)), constant(kLargestTarget));
}

/// targets[c] and the feedback of the panel's errors before column `end`.
HWY_INLINE Floats with_own_feedback(const PanelWork& panel, std::size_t c, std::size_t end, std::size_t lane,
                                    const float* errors) {
    const FloatTag d;
    Floats sum = hn::Load(d, panel.targets + c * kFeedbackLanes + lane);
    for (std::size_t i = 0; i < end; ++i)
        sum = hn::Add(sum, hn::Mul(constant(panel.coefficients[i * kPanelColumns + c]),
                                   hn::Load(d, errors + i * kFeedbackLanes + lane)));
    return sum;
}

template <class Levels>
HWY_INLINE void assign_panel(const Levels& levels, const PanelScales& scales, const PanelWork& panel, float* columns,
                             std::uint8_t* codes) {
    const FloatTag d;
    const hn::Rebind<std::uint8_t, FloatTag> bytes;
    const hn::Rebind<std::int32_t, FloatTag> integers;
    for (std::size_t lane = 0; lane < kFeedbackLanes; lane += hn::Lanes(d)) {
        const Floats scale = hn::Load(d, scales.scale + lane), offset = hn::Load(d, scales.offset + lane);
        const Floats inverse = inverse_or_zero(scale);
        for (std::size_t c = 0; c < panel.width; ++c) {
            const Floats target = bounded(with_own_feedback(panel, c, c, lane, columns));
            const Floats position = hn::Mul(hn::Add(target, offset), inverse);
            const Floats value = hn::Sub(hn::Mul(scale, levels.nearest(position)), offset);
            float* column = columns + c * kFeedbackLanes + lane;
            hn::Store(hn::Sub(hn::Load(d, column), value), d, column);
            hn::StoreU(hn::DemoteTo(bytes, hn::ConvertTo(integers, levels.code(position))), bytes,
                       codes + c * kFeedbackLanes + lane);
        }
    }
}

void assign_with_feedback(const ScalarFormat& format, const PanelScales& scales, const PanelWork& panel, float* columns,
                          std::uint8_t* codes) {
    if (format.codebook != nullptr)
        assign_panel(TableLevels{format.codebook->levels.data(), format.codebook->midpoints.data()}, scales, panel,
                     columns, codes);
    else
        assign_panel(EvenLevels{format.lowest, format.highest}, scales, panel, columns, codes);
}

/// Some lanes of a cell, the weights that share a point: what is wanted of them, and what each point would cost.
template <class Shape>
struct Cell {
    std::size_t first;  ///< column of the panel
    std::size_t lane;
    alignas(64) float targets[Shape::kDims * kLanes];
    CellCosts<Shape> costs;
};

template <class Shape>
HWY_INLINE void open_cell(const PointChoice& choice, const PanelWork& panel, const float* columns, Cell<Shape>& cell) {
    const FloatTag d;
    alignas(64) float magnitudes[Shape::kDims * kLanes], importance[Shape::kDims * kLanes];
    for (std::size_t i = 0; i < Shape::kDims; ++i) {
        const Floats target = bounded(with_own_feedback(panel, cell.first + i, cell.first, cell.lane, columns));
        hn::Store(target, d, cell.targets + i * kLanes);
        hn::Store(hn::Abs(target), d, magnitudes + i * kLanes);
        hn::Store(constant(choice.weights[cell.first + i]), d, importance + i * kLanes);
    }
    const LaneView view{magnitudes, importance};
    const Floats scale = hn::Load(d, choice.scales + cell.lane);
    half_costs<Shape>(choice.grid, view, 0, scale, cell.costs.lower);
    half_costs<Shape>(choice.grid, view, Shape::kDims / 2, scale, cell.costs.upper);
}

/// Keeps a cell's point and signs; its weights become errors.
template <class Shape>
HWY_INLINE void close_cell(const PointChoice& choice, const Cell<Shape>& cell, Floats point, float* columns,
                           PanelPoints& chosen) {
    const FloatTag d;
    const hn::Rebind<std::uint8_t, FloatTag> bytes;
    const hn::Rebind<std::int32_t, FloatTag> integers;
    const Floats scale = hn::Load(d, choice.scales + cell.lane), zero = constant(0.0f), one = constant(1.0f);
    hn::StoreU(hn::ConvertTo(integers, point), integers, chosen.points[cell.first / Shape::kDims] + cell.lane);
    const Integers at = hn::ConvertTo(integers, hn::Mul(point, constant(static_cast<float>(Shape::kWords))));
    for (std::size_t word = 0; word < Shape::kWords; ++word) {
        Integers packed = hn::GatherIndex(integers, choice.grid.points.data() + word, at);
        for (std::size_t i = 4 * word; i < 4 * word + 4; ++i) {
            const Floats magnitude = hn::ConvertTo(d, hn::And(packed, hn::Set(integers, 255)));
            packed = hn::ShiftRight<8>(packed);
            const auto is_negative = hn::Lt(element(cell.targets, i), zero);
            const Floats value = hn::Mul(scale, hn::IfThenElse(is_negative, hn::Neg(magnitude), magnitude));
            float* column = columns + (cell.first + i) * kFeedbackLanes + cell.lane;
            hn::Store(hn::Sub(hn::Load(d, column), value), d, column);
            const Floats sign = hn::IfThenElse(is_negative, one, zero);
            hn::StoreU(hn::DemoteTo(bytes, hn::ConvertTo(integers, sign)), bytes,
                       chosen.signs[cell.first + i] + cell.lane);
        }
    }
}

template <class Shape>
void assign_points(const PointChoice& choice, const PanelWork& panel, float* columns, PanelPoints& chosen) {
    const std::size_t lanes = hn::Lanes(FloatTag());
    Cell<Shape> a, b;
    for (std::size_t lane = 0; lane < kFeedbackLanes; lane += 2 * lanes)
        for (std::size_t first = 0; first < panel.width; first += Shape::kDims) {
            a.first = b.first = first;
            a.lane = lane;
            b.lane = lane + lanes;
            open_cell(choice, panel, columns, a);
            open_cell(choice, panel, columns, b);
            const TwoNearest nearest = best_points_of_two<Shape>(choice.grid, a.costs, b.costs);
            close_cell(choice, a, nearest.best_a, columns, chosen);
            close_cell(choice, b, nearest.best_b, columns, chosen);
        }
}

void assign_points_with_feedback(const PointChoice& choice, const PanelWork& panel, float* columns,
                                 PanelPoints& chosen) {
    if (choice.grid.dims == 4)
        assign_points<GridShape<32, 4, 8>>(choice, panel, columns, chosen);
    else
        assign_points<GridShape<16, 8, 3>>(choice, panel, columns, chosen);
}

void add_damage(const float* weights, const PanelWork& panel, const float* errors, float* damage) {
    const FloatTag d;
    for (std::size_t lane = 0; lane < kFeedbackLanes; lane += hn::Lanes(d)) {
        Floats sum = hn::Load(d, damage + lane);
        for (std::size_t c = 0; c < panel.width; ++c) {
            const Floats rest = with_own_feedback(panel, c, c, lane, errors);
            sum = hn::Add(sum, hn::Mul(constant(weights[c]), hn::Mul(rest, rest)));
        }
        hn::Store(sum, d, damage + lane);
    }
}

void clamp_targets(float* targets) {
    const FloatTag d;
    for (std::size_t at = 0; at < kPanelColumns * kFeedbackLanes; at += hn::Lanes(d))
        hn::Store(bounded(hn::Load(d, targets + at)), d, targets + at);
}

}  // namespace plasticity::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace plasticity {

HWY_EXPORT(add_feedback);
HWY_EXPORT(assign_with_feedback);
HWY_EXPORT(assign_points_with_feedback);
HWY_EXPORT(add_damage);
HWY_EXPORT(clamp_targets);

void add_feedback(const float* coefficients, const float* errors, std::size_t count, float* targets) {
    HWY_DYNAMIC_DISPATCH(add_feedback)(coefficients, errors, count, targets);
}
void assign_with_feedback(const ScalarFormat& format, const PanelScales& scales, const PanelWork& panel, float* columns,
                          std::uint8_t* codes) {
    HWY_DYNAMIC_DISPATCH(assign_with_feedback)(format, scales, panel, columns, codes);
}
void assign_points_with_feedback(const PointChoice& choice, const PanelWork& panel, float* columns,
                                 PanelPoints& chosen) {
    HWY_DYNAMIC_DISPATCH(assign_points_with_feedback)(choice, panel, columns, chosen);
}
void add_damage(const float* weights, const PanelWork& panel, const float* errors, float* damage) {
    HWY_DYNAMIC_DISPATCH(add_damage)(weights, panel, errors, damage);
}
void clamp_targets(float* targets) {
    HWY_DYNAMIC_DISPATCH(clamp_targets)(targets);
}

}  // namespace plasticity
#endif  // HWY_ONCE
