// The two common scales of a super-block whose groups have minima, and the integers that multiply them.
#if defined(PLASTICITY_QUANT_AFFINE_SUPER_SCALE_INL_H) == defined(HWY_TARGET_TOGGLE)
#ifdef PLASTICITY_QUANT_AFFINE_SUPER_SCALE_INL_H
#undef PLASTICITY_QUANT_AFFINE_SUPER_SCALE_INL_H
#else
#define PLASTICITY_QUANT_AFFINE_SUPER_SCALE_INL_H
#endif

#include <cmath>

#include "quant/affine_search-inl.h"

HWY_BEFORE_NAMESPACE();
namespace plasticity::HWY_NAMESPACE {

/// Scales of a super-block that are compared at once; a whole number of vectors of any width.
inline constexpr std::size_t kAffineCandidates = 32;
using AffineDenominators = std::array<float, kAffineCandidates>;

/// What is known of sixteen groups. weight ≈ scale · level − minimum, scale = super_scale · multiplier and
/// minimum = super_minimum · minimum_multiplier once those are chosen.
struct AffineGroups {
    LaneFloats low, ceiling, w, y;  ///< as in AffineGroup
    LaneFloats q, qq, yq;           ///< as in AffineMoments
    LaneFloats scale, minimum;
    LaneFloats multiplier, minimum_multiplier;
    LaneFloats super_scale, super_minimum;  ///< the same for all groups of a super-block
};

HWY_INLINE Floats lanes_of(const LaneFloats& values, std::size_t lane) {
    return hn::LoadU(FloatTag(), values.data() + lane);
}
HWY_INLINE void set_lanes(LaneFloats& values, std::size_t lane, Floats v) {
    hn::StoreU(v, FloatTag(), values.data() + lane);
}

HWY_INLINE AffineGroup broadcast_group(const AffineGroups& groups, std::size_t lane) {
    return {constant(groups.low[lane]), constant(0.0f), constant(groups.ceiling[lane]), constant(groups.w[lane]),
            constant(groups.y[lane])};
}
HWY_INLINE AffineMoments broadcast_moments(const AffineGroups& groups, std::size_t lane) {
    return {constant(groups.q[lane]), constant(groups.qq[lane]), constant(groups.yq[lane])};
}

/// The lanes of one super-block.
struct LaneRange {
    std::size_t first;
    std::size_t count;
};

/// The best of peak / denominators, by gain(lane, value, inverse) summed over the lanes of a super-block.
template <class Gain>
HWY_INLINE float best_candidate(float peak, LaneRange range, const AffineDenominators& denominators, const Gain& gain) {
    if (!(peak > kTiny)) return 0;
    AffineDenominators gains;
    for (std::size_t c = 0; c < kAffineCandidates; c += hn::Lanes(FloatTag())) {
        const Floats inverse = hn::Div(hn::LoadU(FloatTag(), denominators.data() + c), constant(peak));
        const Floats value = hn::Div(constant(1.0f), inverse);
        Floats total = constant(0.0f);
        for (std::size_t lane = range.first; lane < range.first + range.count; ++lane)
            total = hn::Add(total, gain(lane, value, inverse));
        hn::StoreU(total, FloatTag(), gains.data() + c);
    }
    const auto best = static_cast<std::size_t>(std::max_element(gains.begin(), gains.end()) - gains.begin());
    return peak / denominators[best];
}

HWY_INLINE float largest_of(const LaneFloats& values, LaneRange range) {
    return *std::max_element(values.begin() + static_cast<std::ptrdiff_t>(range.first),
                             values.begin() + static_cast<std::ptrdiff_t>(range.first + range.count));
}

/// Rounding of weights as it is, minima free: the scale of the super-block with the highest gain.
HWY_INLINE float best_super_scale(const AffineGroups& groups, LaneRange range, const AffineDenominators& denominators,
                                  float largest_multiplier) {
    const auto gain = [&](std::size_t lane, Floats value, Floats inverse) HWY_ATTR {
        const AffineGroup group = broadcast_group(groups, lane);
        const AffineMoments sums = broadcast_moments(groups, lane);
        const Floats multiplier = affine_level(hn::Mul(constant(groups.scale[lane]), inverse), largest_multiplier);
        const Floats scale = hn::Mul(value, multiplier);
        return affine_gain(group, sums, scale, best_base(group, sums, scale));
    };
    return best_candidate(largest_of(groups.scale, range), range, denominators, gain);
}

/// Rounding and scales as they are: the scale of the minima with the highest gain.
HWY_INLINE float best_super_minimum(const AffineGroups& groups, LaneRange range, const AffineDenominators& denominators,
                                    float largest_multiplier) {
    const auto gain = [&](std::size_t lane, Floats value, Floats inverse) HWY_ATTR {
        const AffineGroup group = broadcast_group(groups, lane);
        const Floats multiplier = affine_level(hn::Mul(constant(groups.minimum[lane]), inverse), largest_multiplier);
        const Floats base = hn::Neg(hn::Add(group.low, hn::Mul(value, multiplier)));
        return affine_gain(group, broadcast_moments(groups, lane), constant(groups.scale[lane]), base);
    };
    return best_candidate(largest_of(groups.minimum, range), range, denominators, gain);
}

/// Both scales of a super-block by least squares, multipliers and rounding as they are.
struct SuperPair {
    double scale;
    double minimum;
};

HWY_INLINE SuperPair fitted_super_pair(const AffineGroups& groups, LaneRange range) {
    double ll = 0, lm = 0, mm = 0, lx = 0, mx = 0;
    for (std::size_t lane = range.first; lane < range.first + range.count; ++lane) {
        const double l = groups.multiplier[lane], m = groups.minimum_multiplier[lane], low = groups.low[lane];
        const double q = groups.q[lane], w = groups.w[lane];
        ll += l * l * groups.qq[lane];
        lm += l * m * q;
        mm += m * m * w;
        lx += l * (groups.yq[lane] + low * q);
        mx += m * (groups.y[lane] + low * w);
    }
    // scale · ll − minimum · lm = lx, scale · lm − minimum · mm = mx
    const double determinant = ll * mm - lm * lm;
    if (determinant > 1e-9 * ll * mm) {
        const SuperPair pair{(lx * mm - lm * mx) / determinant, (lx * lm - ll * mx) / determinant};
        if (pair.scale > 0 && pair.minimum >= 0) return pair;
    }
    return {groups.super_scale[range.first], groups.super_minimum[range.first]};
}

}  // namespace plasticity::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // per-target include guard
