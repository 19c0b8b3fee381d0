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

}  // namespace plasticity::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // per-target include guard
