#include "quant/grid_blocks.h"

#include "quant/grid_packing.h"
#include "quant/signed_grid.h"
#include "quant/super_packing.h"
#include "quant/vector_targets.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "quant/grid_blocks.cpp"
#include <hwy/foreach_target.h>

#include "quant/grid_search-inl.h"
#include "quant/super_scale-inl.h"

HWY_BEFORE_NAMESPACE();
namespace plasticity::HWY_NAMESPACE {

/// The multipliers 1, 3, …, 31, of which four bits are stored.
struct OddMultipliers {
    static constexpr float kStep = 2.0f;  ///< between neighbours
    HWY_INLINE Floats nearest(Floats v) const {
        const Floats halves = hn::Mul(hn::Sub(v, constant(1.0f)), constant(0.5f));
        const Floats whole = hn::Round(hn::Min(hn::Max(halves, constant(0.0f)), constant(15.0f)));
        return hn::Add(hn::Add(whole, whole), constant(1.0f));
    }
};

struct GridFormatSearch {
    const SignedGrid& grid;
    std::span<const float> reaches;  ///< eighths at which the largest magnitude may lie
    bool even_signs;                 ///< of each eight weights an even number must be negative
    void (*pack)(const GridCodes&, std::uint8_t*);
};

constexpr std::size_t kSignGroup = 8;

/// Replaces weights by magnitudes, keeping the signs as codes (1: negative). Where signs must be even, the weight whose
/// loss costs least keeps the wrong one, its magnitude below zero.
template <std::size_t N>
HWY_INLINE void split_signs(bool even_signs, LaneBatch<N>& batch) {
    const hn::Rebind<std::uint8_t, FloatTag> bytes;
    const hn::Rebind<std::int32_t, FloatTag> integers;
    const Floats zero = constant(0.0f), one = constant(1.0f);
    for_lane_groups(batch, [&](std::size_t lane, LaneView view) HWY_ATTR {
        for (std::size_t first = 0; first < N; first += kSignGroup) {
            Floats negatives = zero, cheapest = zero, least = constant(std::numeric_limits<float>::max());
            for (std::size_t i = 0; i < kSignGroup; ++i) {
                const Floats x = element(view.weights, first + i);
                const Floats cost = hn::Mul(element(view.importance, first + i), hn::Mul(x, x));
                negatives = hn::Add(negatives, hn::IfThenElseZero(hn::Lt(x, zero), one));
                cheapest = hn::IfThenElse(hn::Lt(cost, least), constant(static_cast<float>(i)), cheapest);
                least = hn::Min(cost, least);
            }
            const Floats half = hn::Mul(negatives, constant(0.5f));
            const Floats flipped =
                hn::IfThenElse(hn::Ne(hn::Round(half), half), cheapest, constant(static_cast<float>(kSignGroup)));
            for (std::size_t i = 0; i < kSignGroup; ++i) {
                float* at = batch.weights + (first + i) * kLanes + lane;
                const Floats x = hn::Load(FloatTag(), at);
                const auto flips = hn::Eq(flipped, constant(even_signs ? static_cast<float>(i) : -1.0f));
                const Floats sign = hn::IfThenElse(hn::Lt(x, zero), one, zero);
                const Floats magnitude = hn::Abs(x);
                hn::Store(hn::IfThenElse(flips, hn::Neg(magnitude), magnitude), FloatTag(), at);
                const Floats stored = hn::IfThenElse(flips, hn::Sub(one, sign), sign);
                hn::StoreU(hn::DemoteTo(bytes, hn::ConvertTo(integers, stored)), bytes,
                           batch.codes + (first + i) * kLanes + lane);
            }
        }
    });
}

/// A scale for every group, from quick roundings.
template <class Shape>
HWY_INLINE void search_groups(const GridFormatSearch& format, const LaneBatch<Shape::kWeights>& batch, GroupFit& fit) {
    for_lane_groups(batch, [&](std::size_t lane, LaneView view) HWY_ATTR {
        const Floats unit = inverse_or_zero(hn::Abs(signed_peak<Shape::kWeights>(view)));
        Moments best{constant(0.0f), constant(0.0f)};
        Floats best_gain = constant(-1.0f);
        const auto consider = [&](Floats inverse) HWY_ATTR {
            const Moments sums = quick_moments<Shape>(format.grid, view, inverse);
            const Floats gain = hn::IfThenElseZero(hn::Gt(sums.xq, constant(0.0f)), sums.best_gain());
            const auto better = hn::Gt(gain, best_gain);
            best.xq = hn::IfThenElse(better, sums.xq, best.xq);
            best.qq = hn::IfThenElse(better, sums.qq, best.qq);
            best_gain = hn::Max(gain, best_gain);
        };
        for (const float reach : format.reaches) consider(hn::Mul(unit, constant(reach)));
        consider(inverse_or_zero(best.scale()));
        hn::StoreU(hn::Max(best.scale(), constant(0.0f)), FloatTag(), fit.scale.data() + lane);
        hn::StoreU(best.xq, FloatTag(), fit.xq.data() + lane);
        hn::StoreU(best.qq, FloatTag(), fit.qq.data() + lane);
    });
}

/// Points of every lane: [cell][lane].
template <class Shape>
using LanePoints = std::array<LaneFloats, Shape::kCells>;

/// Tries the `count` (1 or 2) odd multipliers nearest to scale / super_scale, with the best points for each, and keeps
/// the best.
template <class Shape>
HWY_INLINE void choose_points(const GridFormatSearch& format, int count, const LaneBatch<Shape::kWeights>& batch,
                              GroupFit& fit, LanePoints<Shape>& points) {
    for_lane_groups(batch, [&](std::size_t lane, LaneView view) HWY_ATTR {
        const FloatTag d;
        const Floats super_scale = hn::LoadU(d, fit.super_scale.data() + lane);
        const Floats wanted = hn::Mul(hn::LoadU(d, fit.scale.data() + lane), inverse_or_zero(super_scale));
        const Floats centre = OddMultipliers().nearest(wanted);
        const Floats aside =
            hn::IfThenElse(hn::Lt(wanted, centre), constant(-OddMultipliers::kStep), constant(OddMultipliers::kStep));
        Floats best_gain = constant(-std::numeric_limits<float>::max()), multiplier = centre;
        Moments sums{constant(0.0f), constant(0.0f)};
        for (int step = 0; step < count; ++step) {
            const Floats tried =
                OddMultipliers().nearest(hn::Add(centre, hn::Mul(aside, constant(static_cast<float>(step)))));
            const Floats scale = hn::Mul(super_scale, tried);
            const GroupPoints<Shape> found = best_points<Shape>(format.grid, view, scale);
            const Floats gain = found.sums.gain_at(scale);
            const auto better = hn::Gt(gain, best_gain);
            best_gain = hn::Max(gain, best_gain);
            multiplier = hn::IfThenElse(better, tried, multiplier);
            sums.xq = hn::IfThenElse(better, found.sums.xq, sums.xq);
            sums.qq = hn::IfThenElse(better, found.sums.qq, sums.qq);
            for (std::size_t cell = 0; cell < Shape::kCells; ++cell) {
                float* at = points[cell].data() + lane;
                hn::StoreU(hn::IfThenElse(better, found.points[cell], hn::LoadU(d, at)), d, at);
            }
        }
        hn::StoreU(multiplier, d, fit.multiplier.data() + lane);
        hn::StoreU(hn::Mul(multiplier, super_scale), d, fit.scale.data() + lane);
        hn::StoreU(sums.xq, d, fit.xq.data() + lane);
        hn::StoreU(sums.qq, d, fit.qq.data() + lane);
    });
}

template <class Shape>
void write_blocks(const GridFormatSearch& format, std::span<const Block> blocks,
                  const LaneBatch<Shape::kWeights>& batch, const GroupFit& fit, const LanePoints<Shape>& points) {
    constexpr std::size_t kGroups = kSuperWeights / Shape::kWeights;
    for (std::size_t b = 0; b < blocks.size(); ++b) {
        SuperCodes signs;
        collect_codes(batch, b * kGroups, signs);
        GridCodes codes{};
        for (std::size_t i = 0; i < kSuperWeights; ++i)
            codes.signs[i / 8] = static_cast<std::uint8_t>(codes.signs[i / 8] | signs.codes[i] << i % 8);
        for (std::size_t g = 0; g < kGroups; ++g) {
            const std::size_t lane = b * kGroups + g;
            for (std::size_t cell = 0; cell < Shape::kCells; ++cell)
                codes.points[g * Shape::kCells + cell] = static_cast<std::uint16_t>(points[cell][lane]);
            codes.multipliers[g] = static_cast<std::uint8_t>((fit.multiplier[lane] - 1.0f) / 2.0f);
        }
        // Magnitudes were counted in eighths.
        codes.scale = ggml_fp32_to_fp16(fit.super_scale[b * kGroups] / SignedGrid::kUnit);
        format.pack(codes, reinterpret_cast<std::uint8_t*>(blocks[b].out));
    }
}

/// The F16 nearest to a scale of eighths, in eighths.
HWY_INLINE float half_of_eighths(float scale) {
    return to_half(scale / SignedGrid::kUnit).value * SignedGrid::kUnit;
}

constexpr Denominators kOdd = even_steps<kSuperCandidates>(33.0f, 21.0f);

template <class Shape>
HWY_INLINE void quantize_batch(const GridFormatSearch& format, std::span<const Block> blocks,
                               LaneBatch<Shape::kWeights>& batch) {
    constexpr std::size_t kGroups = kSuperWeights / Shape::kWeights;
    batch.load(blocks, kGroups);
    stress_large_weights(batch, kGroups);
    split_signs(format.even_signs, batch);
    GroupFit fit;
    LanePoints<Shape> points{};
    search_groups<Shape>(format, batch, fit);
    const auto set_super_scale = [&](std::size_t first, float scale) {
        std::fill_n(fit.super_scale.begin() + static_cast<std::ptrdiff_t>(first), kGroups, half_of_eighths(scale));
    };
    for (std::size_t first = 0; first < kLanes; first += kGroups)
        set_super_scale(first, best_super_scale(fit, first, kGroups, kOdd, OddMultipliers()));
    choose_points<Shape>(format, 2, batch, fit, points);
    for (std::size_t first = 0; first < kLanes; first += kGroups)
        set_super_scale(first, fitted_super_scale(fit, first, kGroups));
    choose_points<Shape>(format, 1, batch, fit, points);
    write_blocks<Shape>(format, blocks, batch, fit, points);
}

template <class Shape>
void quantize_blocks(const GridFormatSearch& format, std::span<const Block> blocks) {
    constexpr std::size_t kBlocks = kLanes * Shape::kWeights / kSuperWeights;
    LaneBatch<Shape::kWeights> batch;
    for (std::size_t first = 0; first < blocks.size(); first += kBlocks)
        quantize_batch<Shape>(format, blocks.subspan(first, std::min(kBlocks, blocks.size() - first)), batch);
}

constexpr auto kReaches3 = even_steps<12>(100.0f, 172.0f);
constexpr auto kReaches2 = even_steps<12>(34.0f, 62.0f);

void quantize_iq3_s(std::span<const Block> blocks) {
    quantize_blocks<GridShape<32, 4, 8>>({signed_grid(GGML_TYPE_IQ3_S), kReaches3, false, pack_iq3_s}, blocks);
}
void quantize_iq3_xxs(std::span<const Block> blocks) {
    quantize_blocks<GridShape<32, 4, 8>>({signed_grid(GGML_TYPE_IQ3_XXS), kReaches3, true, pack_iq3_xxs}, blocks);
}
void quantize_iq2_s(std::span<const Block> blocks) {
    quantize_blocks<GridShape<16, 8, 3>>({signed_grid(GGML_TYPE_IQ2_S), kReaches2, false, pack_iq2_s}, blocks);
}

}  // namespace plasticity::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace plasticity {

HWY_EXPORT(quantize_iq3_s);
HWY_EXPORT(quantize_iq3_xxs);
HWY_EXPORT(quantize_iq2_s);

void quantize_iq3_s(std::span<const Block> blocks) {
    HWY_DYNAMIC_DISPATCH(quantize_iq3_s)(blocks);
}
void quantize_iq3_xxs(std::span<const Block> blocks) {
    HWY_DYNAMIC_DISPATCH(quantize_iq3_xxs)(blocks);
}
void quantize_iq2_s(std::span<const Block> blocks) {
    HWY_DYNAMIC_DISPATCH(quantize_iq2_s)(blocks);
}

}  // namespace plasticity
#endif  // HWY_ONCE
