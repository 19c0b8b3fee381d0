// The scale of groups that have no minimum: weight ≈ scale · level, levels of any spacing.
#if defined(PLASTICITY_QUANT_SCALE_SEARCH_INL_H) == defined(HWY_TARGET_TOGGLE)
#ifdef PLASTICITY_QUANT_SCALE_SEARCH_INL_H
#undef PLASTICITY_QUANT_SCALE_SEARCH_INL_H
#else
#define PLASTICITY_QUANT_SCALE_SEARCH_INL_H
#endif

#include <span>

#include "quant/lanes-inl.h"

HWY_BEFORE_NAMESPACE();
namespace plasticity::HWY_NAMESPACE {

/// Count numbers from first to last, evenly spaced.
template <std::size_t Count>
constexpr std::array<float, Count> even_steps(float first, float last) {
    std::array<float, Count> steps{};
    for (std::size_t i = 0; i < Count; ++i)
        steps[i] = first + (last - first) * static_cast<float>(i) / static_cast<float>(Count - 1);
    return steps;
}

template <std::size_t... Counts>
constexpr auto joined(const std::array<float, Counts>&... parts) {
    std::array<float, (Counts + ...)> all{};
    std::size_t at = 0;
    const auto append = [&](const auto& part) {
        for (const float value : part) all[at++] = value;
    };
    (append(parts), ...);
    return all;
}

/// The levels low, low + 1, …, high; codes count from low.
struct EvenLevels {
    float low;
    float high;

    HWY_INLINE Floats nearest(Floats v) const { return hn::Round(hn::Min(hn::Max(v, constant(low)), constant(high))); }
    HWY_INLINE Floats code(Floats v) const { return hn::Sub(nearest(v), constant(low)); }
};

/// Sixteen levels, ascending, of any spacing; codes are indices.
struct TableLevels {
    const float* levels;     ///< [16]
    const float* midpoints;  ///< [15] between neighbours

    HWY_INLINE Floats nearest(Floats v) const {
        Floats level = constant(levels[0]);
        for (std::size_t k = 0; k < 15; ++k)
            level = hn::IfThenElse(hn::Gt(v, constant(midpoints[k])), constant(levels[k + 1]), level);
        return level;
    }
    HWY_INLINE Floats code(Floats v) const {
        Floats index = constant(0.0f);
        for (std::size_t k = 0; k < 15; ++k)
            index = hn::IfThenElse(hn::Gt(v, constant(midpoints[k])), constant(static_cast<float>(k + 1)), index);
        return index;
    }
};

/// Sums over a group, each weighted by importance: weight · level and level². For a scale s the squared error is
/// Σ weight² − s (2 xq − s qq): lowest, and the gain xq² / qq highest, at s = xq / qq.
struct Moments {
    Floats xq;
    Floats qq;

    HWY_INLINE Floats scale() const { return ratio_or_zero(xq, qq); }
    HWY_INLINE Floats best_gain() const { return ratio_or_zero(hn::Mul(xq, xq), qq); }
    HWY_INLINE Floats gain_at(Floats s) const { return hn::Mul(s, hn::Sub(hn::Add(xq, xq), hn::Mul(s, qq))); }
};

/// Moments of the levels nearest to weight · inverse.
template <std::size_t N, class Levels>
HWY_INLINE Moments moments(const Levels& levels, LaneView view, Floats inverse) {
    Moments sums{constant(0.0f), constant(0.0f)};
    for (std::size_t i = 0; i < N; ++i) {
        const Floats x = element(view.weights, i);
        const Floats q = levels.nearest(hn::Mul(x, inverse));
        const Floats wq = hn::Mul(element(view.importance, i), q);
        sums.xq = hn::Add(sums.xq, hn::Mul(wq, x));
        sums.qq = hn::Add(sums.qq, hn::Mul(wq, q));
    }
    return sums;
}

/// The best of the scales that put the weight of the largest magnitude at one of `reaches` (in levels, signed), moved
/// to the optimum of its own rounding `steps` times (each step lowers the error or ends the descent).
template <std::size_t N, class Levels>
HWY_INLINE Moments search_scale(const Levels& levels, LaneView view, std::span<const float> reaches, int steps) {
    const Floats unit = inverse_or_zero(signed_peak<N>(view));
    Moments best{constant(0.0f), constant(0.0f)};
    Floats best_gain = constant(0.0f);
    const auto consider = [&](Floats inverse) HWY_ATTR {
        const Moments sums = moments<N>(levels, view, inverse);
        const Floats gain = sums.best_gain();
        const auto better = hn::Gt(gain, best_gain);
        best.xq = hn::IfThenElse(better, sums.xq, best.xq);
        best.qq = hn::IfThenElse(better, sums.qq, best.qq);
        best_gain = hn::Max(gain, best_gain);
    };
    for (const float reach : reaches) consider(hn::Mul(unit, constant(reach)));
    for (int step = 0; step < steps; ++step) consider(inverse_or_zero(best.scale()));
    return best;
}

/// Codes of the levels nearest to weight / scale, into the batch.
template <std::size_t N, class Levels>
HWY_INLINE void assign_codes(const Levels& levels, const LaneFloats& scales, LaneBatch<N>& batch) {
    const hn::Rebind<std::uint8_t, FloatTag> bytes;
    const hn::Rebind<std::int32_t, FloatTag> integers;
    for_lane_groups(batch, [&](std::size_t lane, LaneView view) HWY_ATTR {
        const Floats inverse = inverse_or_zero(hn::LoadU(FloatTag(), scales.data() + lane));
        for (std::size_t i = 0; i < N; ++i) {
            const Floats code = levels.code(hn::Mul(element(view.weights, i), inverse));
            hn::StoreU(hn::DemoteTo(bytes, hn::ConvertTo(integers, code)), bytes, batch.codes + i * kLanes + lane);
        }
    });
}

}  // namespace plasticity::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // per-target include guard
