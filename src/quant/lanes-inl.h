// What all searches share, compiled once per vector instruction set (see Highway's foreach_target.h).
#if defined(PLASTICITY_QUANT_LANES_INL_H) == defined(HWY_TARGET_TOGGLE)
#ifdef PLASTICITY_QUANT_LANES_INL_H
#undef PLASTICITY_QUANT_LANES_INL_H
#else
#define PLASTICITY_QUANT_LANES_INL_H
#endif

#include <hwy/highway.h>

#include "quant/lane_batch.h"

HWY_BEFORE_NAMESPACE();
namespace plasticity::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

using FloatTag = hn::CappedTag<float, kLanes>;
using Floats = hn::Vec<FloatTag>;

/// Weights and importance of the lanes that one vector holds: element i at [i · kLanes].
struct LaneView {
    const float* weights;
    const float* importance;
};

HWY_INLINE Floats constant(float value) {
    return hn::Set(FloatTag(), value);
}
HWY_INLINE Floats element(const float* lanes, std::size_t i) {
    return hn::Load(FloatTag(), lanes + i * kLanes);
}

/// Groups whose largest weight is below this become zeros: their inverse scale would leave the range of floats, and
/// no F16 scale is that small.
inline constexpr float kTiny = 1e-20f;

/// 1 / v, or 0 where |v| is too small to be inverted.
HWY_INLINE Floats inverse_or_zero(Floats v) {
    const auto usable = hn::Gt(hn::Abs(v), constant(kTiny));
    return hn::IfThenElseZero(usable, hn::Div(constant(1.0f), hn::IfThenElse(usable, v, constant(1.0f))));
}

/// numerator / denominator, or 0 where the denominator is not positive.
HWY_INLINE Floats ratio_or_zero(Floats numerator, Floats denominator) {
    const auto usable = hn::Gt(denominator, hn::Zero(FloatTag()));
    return hn::IfThenElseZero(usable, hn::Div(numerator, hn::IfThenElse(usable, denominator, constant(1.0f))));
}

/// The weight of the largest magnitude in each lane, with its sign.
template <std::size_t N>
HWY_INLINE Floats signed_peak(LaneView view) {
    Floats peak = element(view.weights, 0);
    for (std::size_t i = 1; i < N; ++i) {
        const Floats x = element(view.weights, i);
        peak = hn::IfThenElse(hn::Gt(hn::Abs(x), hn::Abs(peak)), x, peak);
    }
    return peak;
}

/// Calls body(first lane, view of the lanes from it on) until all sixteen are done.
template <std::size_t N, class Body>
HWY_INLINE void for_lane_groups(const LaneBatch<N>& batch, const Body& body) {
    for (std::size_t lane = 0; lane < kLanes; lane += hn::Lanes(FloatTag()))
        body(lane, LaneView{batch.weights + lane, batch.importance + lane});
}

/// Multiplies importance by √(2 · mean weight² of the block + weight²), as ggml does. Large weights then err less, at a
/// little more weighted squared error over all; whole models come out closer to the base than with importance alone.
/// @param groups  of each block: neighbouring lanes
template <std::size_t N>
HWY_INLINE void stress_large_weights(LaneBatch<N>& batch, std::size_t groups) {
    if (!batch.has_importance) return;
    LaneFloats spread;
    for_lane_groups(batch, [&](std::size_t lane, LaneView view) HWY_ATTR {
        Floats squares = constant(0.0f);
        for (std::size_t i = 0; i < N; ++i)
            squares = hn::Add(squares, hn::Mul(element(view.weights, i), element(view.weights, i)));
        hn::StoreU(squares, FloatTag(), spread.data() + lane);
    });
    for (std::size_t first = 0; first < kLanes; first += groups) {
        float sum = 0;
        for (std::size_t lane = first; lane < first + groups; ++lane) sum += spread[lane];
        std::fill_n(spread.begin() + static_cast<std::ptrdiff_t>(first), groups,
                    2.0f * sum / static_cast<float>(groups * N));
    }
    for_lane_groups(batch, [&](std::size_t lane, LaneView view) HWY_ATTR {
        const Floats common = hn::LoadU(FloatTag(), spread.data() + lane);
        for (std::size_t i = 0; i < N; ++i) {
            const Floats x = element(view.weights, i);
            const Floats stress = hn::Sqrt(hn::Add(common, hn::Mul(x, x)));
            hn::Store(hn::Mul(element(view.importance, i), stress), FloatTag(), batch.importance + i * kLanes + lane);
        }
    });
}

}  // namespace plasticity::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // per-target include guard
