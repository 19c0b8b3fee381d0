// The common scale of a super-block and the integers that multiply it, one per group.
#if defined(PLASTICITY_QUANT_SUPER_SCALE_INL_H) == defined(HWY_TARGET_TOGGLE)
#ifdef PLASTICITY_QUANT_SUPER_SCALE_INL_H
#undef PLASTICITY_QUANT_SUPER_SCALE_INL_H
#else
#define PLASTICITY_QUANT_SUPER_SCALE_INL_H
#endif

#include <cmath>

#include "quant/scale_search-inl.h"

HWY_BEFORE_NAMESPACE();
namespace plasticity::HWY_NAMESPACE {

/// The integers that a format allows as multipliers of the super-block's scale.
struct MultiplierRange {
    static constexpr float kStep = 1.0f;  ///< between neighbours
    float low;
    float high;

    HWY_INLINE Floats nearest(Floats v) const { return hn::Round(hn::Min(hn::Max(v, constant(low)), constant(high))); }
};

/// What is known of sixteen groups: moments of the present rounding, and the multiplier of each group's scale.
struct GroupFit {
    LaneFloats scale{};
    LaneFloats xq{};
    LaneFloats qq{};
    LaneFloats multiplier{};
    LaneFloats super_scale{};  ///< the same for all groups of a super-block
};

/// Number of scales of a super-block that are compared; a whole number of vectors of any width.
inline constexpr std::size_t kSuperCandidates = 32;
using Denominators = std::array<float, kSuperCandidates>;

/// Of the scales that give the group with the largest one a multiplier from `denominators`: that of the highest gain,
/// the rounding of weights left as it is.
/// @param first, groups  the lanes of the super-block
template <class Range>
HWY_INLINE float best_super_scale(const GroupFit& fit, std::size_t first, std::size_t groups,
                                  const Denominators& denominators, const Range& range) {
    float peak = 0;
    for (std::size_t lane = first; lane < first + groups; ++lane)
        if (std::fabs(fit.scale[lane]) > std::fabs(peak)) peak = fit.scale[lane];
    if (!(std::fabs(peak) > kTiny)) return 0;

    Denominators gains;
    for (std::size_t c = 0; c < kSuperCandidates; c += hn::Lanes(FloatTag())) {
        const Floats inverse = hn::Div(hn::LoadU(FloatTag(), denominators.data() + c), constant(peak));
        const Floats super_scale = hn::Div(constant(1.0f), inverse);
        Floats gain = constant(0.0f);
        for (std::size_t lane = first; lane < first + groups; ++lane) {
            const Floats multiplier = range.nearest(hn::Mul(constant(fit.scale[lane]), inverse));
            const Moments sums{constant(fit.xq[lane]), constant(fit.qq[lane])};
            gain = hn::Add(gain, sums.gain_at(hn::Mul(super_scale, multiplier)));
        }
        hn::StoreU(gain, FloatTag(), gains.data() + c);
    }
    const auto best = static_cast<std::size_t>(std::max_element(gains.begin(), gains.end()) - gains.begin());
    return peak / denominators[best];
}

/// The super-block's scale that its groups' moments ask for, multipliers as they are.
HWY_INLINE float fitted_super_scale(const GroupFit& fit, std::size_t first, std::size_t groups) {
    float xq = 0, qq = 0;
    for (std::size_t lane = first; lane < first + groups; ++lane) {
        xq += fit.multiplier[lane] * fit.xq[lane];
        qq += fit.multiplier[lane] * fit.multiplier[lane] * fit.qq[lane];
    }
    return qq > 0 ? xq / qq : 0;
}

/// Tries the multipliers nearest to scale / super_scale, `distance` of them on both sides, and keeps the best.
/// @param sums_at  (view, inverse) → Moments: how weights are rounded for a scale
template <std::size_t N, class SumsAt, class Range>
HWY_INLINE void choose_multipliers(const SumsAt& sums_at, const Range& range, int distance, const LaneBatch<N>& batch,
                                   GroupFit& fit) {
    for_lane_groups(batch, [&](std::size_t lane, LaneView view) HWY_ATTR {
        const FloatTag d;
        const Floats super_scale = hn::LoadU(d, fit.super_scale.data() + lane);
        const Floats centre =
            range.nearest(hn::Mul(hn::LoadU(d, fit.scale.data() + lane), inverse_or_zero(super_scale)));
        Floats multiplier = range.nearest(constant(0.0f)), best_gain = constant(0.0f);
        Moments best{constant(0.0f), constant(0.0f)};
        for (int step = -distance; step <= distance; ++step) {
            const Floats tried = range.nearest(hn::Add(centre, constant(Range::kStep * static_cast<float>(step))));
            const Floats scale = hn::Mul(super_scale, tried);
            const Moments sums = sums_at(view, inverse_or_zero(scale));
            const Floats gain = sums.gain_at(scale);
            const auto better = hn::Gt(gain, best_gain);
            best_gain = hn::Max(gain, best_gain);
            multiplier = hn::IfThenElse(better, tried, multiplier);
            best.xq = hn::IfThenElse(better, sums.xq, best.xq);
            best.qq = hn::IfThenElse(better, sums.qq, best.qq);
        }
        hn::StoreU(multiplier, d, fit.multiplier.data() + lane);
        hn::StoreU(hn::Mul(multiplier, super_scale), d, fit.scale.data() + lane);
        hn::StoreU(best.xq, d, fit.xq.data() + lane);
        hn::StoreU(best.qq, d, fit.qq.data() + lane);
    });
}

}  // namespace plasticity::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // per-target include guard
