#include "quant/feedback_kernels.h"

#include "quant/vector_targets.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "quant/feedback_kernels.cpp"
#include <hwy/foreach_target.h>

#include "quant/scale_search-inl.h"

HWY_BEFORE_NAMESPACE();
namespace plasticity::HWY_NAMESPACE {

constexpr float kLargestTarget = 65504.0f;

/// Targets of four columns by two vectors of lanes stay in registers while all errors pass by.
constexpr std::size_t kTileColumns = 4;

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
    for (std::size_t c = 0; c < kPanelColumns; c += kTileColumns)
        for (std::size_t lane = 0; lane < kFeedbackLanes; lane += step)
            add_feedback_tile(coefficients + c, errors + lane, count, targets + c * kFeedbackLanes + lane);
}

HWY_INLINE Floats bounded(Floats target) {
    return hn::Min(hn::Max(target, constant(-kLargestTarget)), constant(kLargestTarget));
}

/// targets[c] and the feedback of the panel's errors before column c.
HWY_INLINE Floats with_own_feedback(const PanelWork& panel, std::size_t c, std::size_t lane, const float* errors) {
    const FloatTag d;
    Floats sum = hn::Load(d, panel.targets + c * kFeedbackLanes + lane);
    for (std::size_t i = 0; i < c; ++i)
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
            const Floats target = bounded(with_own_feedback(panel, c, lane, columns));
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

void add_damage(const float* weights, const PanelWork& panel, const float* errors, float* damage) {
    const FloatTag d;
    for (std::size_t lane = 0; lane < kFeedbackLanes; lane += hn::Lanes(d)) {
        Floats sum = hn::Load(d, damage + lane);
        for (std::size_t c = 0; c < panel.width; ++c) {
            const Floats rest = with_own_feedback(panel, c, lane, errors);
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
HWY_EXPORT(add_damage);
HWY_EXPORT(clamp_targets);

void add_feedback(const float* coefficients, const float* errors, std::size_t count, float* targets) {
    HWY_DYNAMIC_DISPATCH(add_feedback)(coefficients, errors, count, targets);
}
void assign_with_feedback(const ScalarFormat& format, const PanelScales& scales, const PanelWork& panel, float* columns,
                          std::uint8_t* codes) {
    HWY_DYNAMIC_DISPATCH(assign_with_feedback)(format, scales, panel, columns, codes);
}
void add_damage(const float* weights, const PanelWork& panel, const float* errors, float* damage) {
    HWY_DYNAMIC_DISPATCH(add_damage)(weights, panel, errors, damage);
}
void clamp_targets(float* targets) {
    HWY_DYNAMIC_DISPATCH(clamp_targets)(targets);
}

}  // namespace plasticity
#endif  // HWY_ONCE
