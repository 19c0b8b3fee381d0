// Scale and minimum of groups: weight ≈ scale · level − minimum, levels 0 … top.
#if defined(PLASTICITY_QUANT_AFFINE_SEARCH_INL_H) == defined(HWY_TARGET_TOGGLE)
#ifdef PLASTICITY_QUANT_AFFINE_SEARCH_INL_H
#undef PLASTICITY_QUANT_AFFINE_SEARCH_INL_H
#else
#define PLASTICITY_QUANT_AFFINE_SEARCH_INL_H
#endif

#include <limits>
#include <span>

#include "quant/scale_search-inl.h"

HWY_BEFORE_NAMESPACE();
namespace plasticity::HWY_NAMESPACE {

/// A start of the search: the range of the weights spans `reach` levels and its lower end comes to `offset`.
struct AffineStart {
    float reach;
    float offset;
};

/// Starts that clip nothing, the upper end, the lower end, or a little of both.
template <std::size_t Count>
constexpr std::array<AffineStart, 3 * Count> starts_around(float top, const std::array<float, Count>& excesses) {
    std::array<AffineStart, 3 * Count> starts{};
    for (std::size_t i = 0; i < Count; ++i)
        for (std::size_t side = 0; side < 3; ++side)
            starts[3 * i + side] = {top + excesses[i], -0.5f * static_cast<float>(side) * excesses[i]};
    return starts;
}

/// Where a group lies, and sums over it that do not depend on rounding. To keep sums small where all weights are far
/// from zero they are taken over y = weight − low.
struct AffineGroup {
    Floats low;      ///< the smallest weight
    Floats range;    ///< the largest − low
    Floats ceiling;  ///< what the value of level 0 may be at most, above low
    Floats w;        ///< Σ importance
    Floats y;        ///< Σ importance · y
};

/// Weighted sums of level, level² and y · level.
struct AffineMoments {
    Floats q;
    Floats qq;
    Floats yq;
};

/// y ≈ scale · level + base, and how much of Σ importance · y² that explains.
struct AffineFit {
    Floats scale;
    Floats base;
    Floats gain;
};

/// @param zero_within  level 0 may not be above zero: minima of super-blocks have no sign
template <std::size_t N>
HWY_INLINE AffineGroup survey(LaneView view, bool zero_within) {
    Floats low = element(view.weights, 0), high = low;
    for (std::size_t i = 1; i < N; ++i) {
        low = hn::Min(low, element(view.weights, i));
        high = hn::Max(high, element(view.weights, i));
    }
    Floats ceiling = constant(std::numeric_limits<float>::max());
    if (zero_within) {
        low = hn::Min(low, constant(0.0f));
        ceiling = hn::Neg(low);
    }
    AffineGroup group{low, hn::Sub(high, low), ceiling, constant(0.0f), constant(0.0f)};
    for (std::size_t i = 0; i < N; ++i) {
        const Floats w = element(view.importance, i);
        group.w = hn::Add(group.w, w);
        group.y = hn::Add(group.y, hn::Mul(w, hn::Sub(element(view.weights, i), low)));
    }
    return group;
}

HWY_INLINE Floats affine_level(Floats v, float top) {
    return hn::Round(hn::Min(hn::Max(v, constant(0.0f)), constant(top)));
}

/// How levels follow from y: nearest to y · inverse + offset.
struct Rounding {
    Floats inverse;
    Floats offset;
};

HWY_INLINE Rounding rounding_for(Floats scale, Floats base) {
    const Floats inverse = inverse_or_zero(scale);
    return {inverse, hn::Neg(hn::Mul(base, inverse))};
}

template <std::size_t N>
HWY_INLINE AffineMoments affine_moments(LaneView view, const AffineGroup& group, Rounding rounding, float top) {
    AffineMoments sums{constant(0.0f), constant(0.0f), constant(0.0f)};
    for (std::size_t i = 0; i < N; ++i) {
        const Floats y = hn::Sub(element(view.weights, i), group.low);
        const Floats q = affine_level(hn::Add(hn::Mul(y, rounding.inverse), rounding.offset), top);
        const Floats wq = hn::Mul(element(view.importance, i), q);
        sums.q = hn::Add(sums.q, wq);
        sums.qq = hn::Add(sums.qq, hn::Mul(wq, q));
        sums.yq = hn::Add(sums.yq, hn::Mul(wq, y));
    }
    return sums;
}

/// 2 s Σyq + 2 b Σy − s² Σqq − b² Σw − 2 s b Σq
HWY_INLINE Floats affine_gain(const AffineGroup& group, const AffineMoments& sums, Floats scale, Floats base) {
    const Floats by_scale = hn::Mul(scale, hn::Sub(hn::Add(sums.yq, sums.yq), hn::Mul(scale, sums.qq)));
    const Floats by_base = hn::Mul(base, hn::Sub(hn::Add(group.y, group.y), hn::Mul(base, group.w)));
    const Floats both = hn::Mul(hn::Mul(scale, base), sums.q);
    return hn::Sub(hn::Add(by_scale, by_base), hn::Add(both, both));
}

/// The best value of level 0 for a scale, rounding as it is.
HWY_INLINE Floats best_base(const AffineGroup& group, const AffineMoments& sums, Floats scale) {
    return hn::Min(ratio_or_zero(hn::Sub(group.y, hn::Mul(scale, sums.q)), group.w), group.ceiling);
}

/// Least squares over scale and base; where the base would exceed its ceiling, over the scale alone.
HWY_INLINE AffineFit solve(const AffineGroup& group, const AffineMoments& sums) {
    const Floats determinant = hn::Sub(hn::Mul(group.w, sums.qq), hn::Mul(sums.q, sums.q));
    const Floats free_scale = ratio_or_zero(hn::Sub(hn::Mul(group.w, sums.yq), hn::Mul(group.y, sums.q)), determinant);
    const Floats base = best_base(group, sums, free_scale);
    const Floats bound_scale = ratio_or_zero(hn::Sub(sums.yq, hn::Mul(group.ceiling, sums.q)), sums.qq);
    const Floats scale = hn::Max(hn::IfThenElse(hn::Lt(base, group.ceiling), free_scale, bound_scale), constant(0.0f));
    return {scale, base, affine_gain(group, sums, scale, base)};
}

/// The best of the starts, then moved to the optimum of its own rounding `steps` times.
template <std::size_t N>
HWY_INLINE AffineFit search_affine(LaneView view, const AffineGroup& group, std::span<const AffineStart> starts,
                                   float top) {
    const Floats unit = inverse_or_zero(group.range);
    AffineFit best = solve(group, {constant(0.0f), constant(0.0f), constant(0.0f)});
    const auto consider = [&](Rounding rounding) HWY_ATTR {
        const AffineFit fit = solve(group, affine_moments<N>(view, group, rounding, top));
        const auto better = hn::Gt(fit.gain, best.gain);
        best.scale = hn::IfThenElse(better, fit.scale, best.scale);
        best.base = hn::IfThenElse(better, fit.base, best.base);
        best.gain = hn::Max(fit.gain, best.gain);
    };
    for (const AffineStart start : starts) consider({hn::Mul(unit, constant(start.reach)), constant(start.offset)});
    constexpr int kSteps = 2;
    for (int step = 0; step < kSteps; ++step) consider(rounding_for(best.scale, best.base));
    return best;
}

/// Codes of the levels nearest to (weight + minimum) / scale, into the batch.
template <std::size_t N>
HWY_INLINE void assign_affine_codes(const LaneFloats& scales, const LaneFloats& minima, float top,
                                    LaneBatch<N>& batch) {
    const hn::Rebind<std::uint8_t, FloatTag> bytes;
    const hn::Rebind<std::int32_t, FloatTag> integers;
    for_lane_groups(batch, [&](std::size_t lane, LaneView view) HWY_ATTR {
        const Floats inverse = inverse_or_zero(hn::LoadU(FloatTag(), scales.data() + lane));
        const Floats minimum = hn::LoadU(FloatTag(), minima.data() + lane);
        for (std::size_t i = 0; i < N; ++i) {
            const Floats above = hn::Add(element(view.weights, i), minimum);
            const Floats code = affine_level(hn::Mul(above, inverse), top);
            hn::StoreU(hn::DemoteTo(bytes, hn::ConvertTo(integers, code)), bytes, batch.codes + i * kLanes + lane);
        }
    });
}

}  // namespace plasticity::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // per-target include guard
