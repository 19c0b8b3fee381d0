#include "quant/affine_super_blocks.h"

#include "quant/super_packing.h"
#include "quant/vector_targets.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "quant/affine_super_blocks.cpp"
#include <hwy/foreach_target.h>

#include "quant/affine_super_scale-inl.h"

HWY_BEFORE_NAMESPACE();
namespace plasticity::HWY_NAMESPACE {

struct AffineSuperFormat {
    float top;                 ///< largest level
    float largest_multiplier;  ///< of scales and of minima
    std::span<const AffineStart> starts;
    const AffineDenominators& denominators;
    int distance;  ///< multipliers of scales tried on both sides
    void (*pack)(const SuperCodes&, std::uint8_t*);
};

HWY_INLINE void store_moments(AffineGroups& groups, std::size_t lane, const AffineMoments& sums) {
    set_lanes(groups.q, lane, sums.q);
    set_lanes(groups.qq, lane, sums.qq);
    set_lanes(groups.yq, lane, sums.yq);
}

template <std::size_t N>
HWY_INLINE void search_groups(const AffineSuperFormat& format, const LaneBatch<N>& batch, AffineGroups& groups) {
    for_lane_groups(batch, [&](std::size_t lane, LaneView view) HWY_ATTR {
        const AffineGroup group = survey<N>(view, true);
        const AffineFit best = search_affine<N>(view, group, format.starts, format.top);
        set_lanes(groups.low, lane, group.low);
        set_lanes(groups.ceiling, lane, group.ceiling);
        set_lanes(groups.w, lane, group.w);
        set_lanes(groups.y, lane, group.y);
        store_moments(groups, lane, affine_moments<N>(view, group, rounding_for(best.scale, best.base), format.top));
        set_lanes(groups.scale, lane, best.scale);
        set_lanes(groups.minimum, lane, hn::Neg(hn::Add(group.low, best.base)));
    });
}

/// The multipliers of a group and what they gain, while better ones are looked for.
struct MultiplierSearch {
    Floats multiplier;
    Floats minimum_multiplier;
    Floats gain;
    AffineMoments sums;

    HWY_INLINE void consider(Floats l, Floats m, Floats gained, const AffineMoments& found) {
        const auto better = hn::Gt(gained, gain);
        gain = hn::Max(gained, gain);
        multiplier = hn::IfThenElse(better, l, multiplier);
        minimum_multiplier = hn::IfThenElse(better, m, minimum_multiplier);
        sums.q = hn::IfThenElse(better, found.q, sums.q);
        sums.qq = hn::IfThenElse(better, found.qq, sums.qq);
        sums.yq = hn::IfThenElse(better, found.yq, sums.yq);
    }
};

/// Tries multipliers of the scale within `distance` of the present scale's; with each, the nearest to the minimum that
/// the present rounding asks for and its neighbours, weights rounded anew for each pair.
template <std::size_t N>
HWY_INLINE void choose_multipliers(const AffineSuperFormat& format, int distance, const LaneBatch<N>& batch,
                                   AffineGroups& groups) {
    for_lane_groups(batch, [&](std::size_t lane, LaneView view) HWY_ATTR {
        const AffineGroup group{lanes_of(groups.low, lane), constant(0.0f), lanes_of(groups.ceiling, lane),
                                lanes_of(groups.w, lane), lanes_of(groups.y, lane)};
        const AffineMoments present{lanes_of(groups.q, lane), lanes_of(groups.qq, lane), lanes_of(groups.yq, lane)};
        const Floats super_scale = lanes_of(groups.super_scale, lane);
        const Floats super_minimum = lanes_of(groups.super_minimum, lane);
        const Floats per_minimum = inverse_or_zero(super_minimum);
        const Floats centre = affine_level(hn::Mul(lanes_of(groups.scale, lane), inverse_or_zero(super_scale)),
                                           format.largest_multiplier);
        const Floats zero = constant(0.0f);
        MultiplierSearch best{zero, zero, constant(-std::numeric_limits<float>::max()), {zero, zero, zero}};
        for (int step = -distance; step <= distance; ++step) {
            const Floats l =
                affine_level(hn::Add(centre, constant(static_cast<float>(step))), format.largest_multiplier);
            const Floats scale = hn::Mul(super_scale, l);
            const Floats wanted = hn::Neg(hn::Add(group.low, best_base(group, present, scale)));
            const Floats nearest = affine_level(hn::Mul(wanted, per_minimum), format.largest_multiplier);
            for (int beside = -1; beside <= 1; ++beside) {
                const Floats m =
                    affine_level(hn::Add(nearest, constant(static_cast<float>(beside))), format.largest_multiplier);
                const Floats base = hn::Neg(hn::Add(group.low, hn::Mul(super_minimum, m)));
                const AffineMoments sums = affine_moments<N>(view, group, rounding_for(scale, base), format.top);
                best.consider(l, m, affine_gain(group, sums, scale, base), sums);
            }
        }
        store_moments(groups, lane, best.sums);
        set_lanes(groups.multiplier, lane, best.multiplier);
        set_lanes(groups.minimum_multiplier, lane, best.minimum_multiplier);
        set_lanes(groups.scale, lane, hn::Mul(best.multiplier, super_scale));
        set_lanes(groups.minimum, lane, hn::Mul(best.minimum_multiplier, super_minimum));
    });
}

/// Gives every group of a super-block the F16 nearest to `value`.
HWY_INLINE void set_common(LaneFloats& values, LaneRange range, float value) {
    std::fill_n(values.begin() + static_cast<std::ptrdiff_t>(range.first), range.count, to_half(value).value);
}

/// The first choice of both scales: each group's own optimum rounded to multiples.
HWY_INLINE void start_super_pair(const AffineSuperFormat& format, LaneRange range, AffineGroups& groups) {
    const float scale = best_super_scale(groups, range, format.denominators, format.largest_multiplier);
    set_common(groups.super_scale, range, scale);
    const float minimum = best_super_minimum(groups, range, format.denominators, format.largest_multiplier);
    set_common(groups.super_minimum, range, minimum);
}

/// Moves both scales of every super-block to the optimum of its present multipliers and rounding.
HWY_INLINE void fit_super_pairs(std::size_t n_groups, AffineGroups& groups) {
    for (std::size_t first = 0; first < kLanes; first += n_groups) {
        const SuperPair pair = fitted_super_pair(groups, {first, n_groups});
        set_common(groups.super_scale, {first, n_groups}, static_cast<float>(pair.scale));
        set_common(groups.super_minimum, {first, n_groups}, static_cast<float>(pair.minimum));
    }
}

template <std::size_t N>
void write_blocks(const AffineSuperFormat& format, std::span<const Block> blocks, const LaneBatch<N>& batch,
                  const AffineGroups& groups) {
    constexpr std::size_t kGroups = kSuperWeights / N;
    for (std::size_t b = 0; b < blocks.size(); ++b) {
        SuperCodes super{};
        collect_codes(batch, b * kGroups, super);
        for (std::size_t g = 0; g < kGroups; ++g) {
            // Zeros are padding and have to stay what they are, where a scale and a minimum may come near zero, too.
            if (batch.is_zero(b * kGroups + g)) continue;
            super.multipliers[g] = static_cast<std::uint8_t>(groups.multiplier[b * kGroups + g]);
            super.minima[g] = static_cast<std::uint8_t>(groups.minimum_multiplier[b * kGroups + g]);
        }
        super.scale = ggml_fp32_to_fp16(groups.super_scale[b * kGroups]);
        super.minimum_scale = ggml_fp32_to_fp16(groups.super_minimum[b * kGroups]);
        format.pack(super, reinterpret_cast<std::uint8_t*>(blocks[b].out));
    }
}

template <std::size_t N>
HWY_INLINE void quantize_batch(const AffineSuperFormat& format, std::span<const Block> blocks, LaneBatch<N>& batch) {
    constexpr std::size_t kGroups = kSuperWeights / N;
    batch.load(blocks, kGroups);
    stress_large_weights(batch, kGroups);
    AffineGroups groups;
    search_groups(format, batch, groups);
    for (std::size_t first = 0; first < kLanes; first += kGroups) start_super_pair(format, {first, kGroups}, groups);
    for (int distance = format.distance; distance > 0; --distance) {
        if (distance != format.distance) fit_super_pairs(kGroups, groups);
        choose_multipliers(format, distance, batch, groups);
    }
    assign_affine_codes(groups.scale, groups.minimum, format.top, batch);
    write_blocks(format, blocks, batch, groups);
}

template <std::size_t N>
void quantize_blocks(const AffineSuperFormat& format, std::span<const Block> blocks) {
    constexpr std::size_t kBlocks = kLanes * N / kSuperWeights;
    LaneBatch<N> batch;
    for (std::size_t first = 0; first < blocks.size(); first += kBlocks)
        quantize_batch(format, blocks.subspan(first, std::min(kBlocks, blocks.size() - first)), batch);
}

constexpr auto kStarts2 = starts_around(3.0f, joined(even_steps<8>(-0.9f, 1.2f), std::array{2.0f, 3.0f, 5.0f, 8.0f}));
constexpr auto kStarts4 = starts_around(15.0f, joined(even_steps<8>(-1.6f, 1.9f), std::array{3.0f, 5.0f}));
constexpr auto kStarts5 = starts_around(31.0f, joined(even_steps<8>(-2.4f, 3.0f), std::array{5.0f}));

constexpr AffineDenominators kFourBits = even_steps<kAffineCandidates>(16.0f, 8.0f);
constexpr AffineDenominators kSixBits = even_steps<kAffineCandidates>(64.0f, 46.0f);

void quantize_q2_k(std::span<const Block> blocks) {
    quantize_blocks<16>({3, 15, kStarts2, kFourBits, 4, pack_q2_k}, blocks);
}
void quantize_q4_k(std::span<const Block> blocks) {
    quantize_blocks<32>({15, 63, kStarts4, kSixBits, 3, pack_q4_k}, blocks);
}
void quantize_q5_k(std::span<const Block> blocks) {
    quantize_blocks<32>({31, 63, kStarts5, kSixBits, 3, pack_q5_k}, blocks);
}

}  // namespace plasticity::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace plasticity {

HWY_EXPORT(quantize_q2_k);
HWY_EXPORT(quantize_q4_k);
HWY_EXPORT(quantize_q5_k);

void quantize_q2_k(std::span<const Block> blocks) {
    HWY_DYNAMIC_DISPATCH(quantize_q2_k)(blocks);
}
void quantize_q4_k(std::span<const Block> blocks) {
    HWY_DYNAMIC_DISPATCH(quantize_q4_k)(blocks);
}
void quantize_q5_k(std::span<const Block> blocks) {
    HWY_DYNAMIC_DISPATCH(quantize_q5_k)(blocks);
}

}  // namespace plasticity
#endif  // HWY_ONCE
