#include "quant/super_blocks.h"

#include "quant/codebook.h"
#include "quant/super_packing.h"
#include "quant/vector_targets.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "quant/super_blocks.cpp"
#include <hwy/foreach_target.h>

#include "quant/super_scale-inl.h"

HWY_BEFORE_NAMESPACE();
namespace plasticity::HWY_NAMESPACE {

/// A format: its levels and multipliers, what the search tries, and how codes become bytes.
template <class Levels>
struct SuperFormat {
    Levels levels;
    MultiplierRange range;
    float multiplier_zero;           ///< what the stored number of a multiplier of 0 is
    std::span<const float> reaches;  ///< of a group's scale, as in search_scale
    const Denominators& denominators;
    int distance;  ///< multipliers tried on both sides, as long as the common scale is only a first choice
    void (*pack)(const SuperCodes&, std::uint8_t*);
};

template <std::size_t N, class Levels>
HWY_INLINE void search_groups(const SuperFormat<Levels>& format, const LaneBatch<N>& batch, GroupFit& fit) {
    for_lane_groups(batch, [&](std::size_t lane, LaneView view) HWY_ATTR {
        const FloatTag d;
        const Moments best = search_scale<N>(format.levels, view, format.reaches, 1);
        hn::StoreU(best.scale(), d, fit.scale.data() + lane);
        hn::StoreU(best.xq, d, fit.xq.data() + lane);
        hn::StoreU(best.qq, d, fit.qq.data() + lane);
    });
}

template <std::size_t N, class Levels>
void write_blocks(const SuperFormat<Levels>& format, std::span<const Block> blocks, const LaneBatch<N>& batch,
                  const GroupFit& fit) {
    constexpr std::size_t kGroups = kSuperWeights / N;
    for (std::size_t b = 0; b < blocks.size(); ++b) {
        SuperCodes super{};
        collect_codes(batch, b * kGroups, super);
        for (std::size_t g = 0; g < kGroups; ++g) {
            const float stored = fit.multiplier[b * kGroups + g] + format.multiplier_zero;
            super.multipliers[g] = static_cast<std::uint8_t>(static_cast<int>(stored));
        }
        super.scale = ggml_fp32_to_fp16(fit.super_scale[b * kGroups]);
        format.pack(super, reinterpret_cast<std::uint8_t*>(blocks[b].out));
    }
}

/// Sets the scale of every super-block in the batch to the F16 nearest to choose(first lane).
template <std::size_t N, class Choose>
HWY_INLINE void set_super_scales(GroupFit& fit, const Choose& choose) {
    constexpr std::size_t kGroups = kSuperWeights / N;
    for (std::size_t first = 0; first < kLanes; first += kGroups)
        std::fill_n(fit.super_scale.begin() + static_cast<std::ptrdiff_t>(first), kGroups,
                    to_half(choose(first)).value);
}

template <std::size_t N, class Levels>
HWY_INLINE void quantize_batch(const SuperFormat<Levels>& format, std::span<const Block> blocks, LaneBatch<N>& batch) {
    constexpr std::size_t kGroups = kSuperWeights / N;
    batch.load(blocks, kGroups);
    stress_large_weights(batch, kGroups);
    GroupFit fit;
    search_groups(format, batch, fit);
    set_super_scales<N>(fit, [&](std::size_t first) {
        return best_super_scale(fit, first, kGroups, format.denominators, format.range);
    });
    const auto sums_at = [&](LaneView view, Floats inverse)
                             HWY_ATTR { return moments<N>(format.levels, view, inverse); };
    choose_multipliers(sums_at, format.range, format.distance, batch, fit);
    set_super_scales<N>(fit, [&](std::size_t first) { return fitted_super_scale(fit, first, kGroups); });
    choose_multipliers(sums_at, format.range, std::min(format.distance, 2), batch, fit);
    assign_codes(format.levels, fit.scale, batch);
    write_blocks(format, blocks, batch, fit);
}

template <std::size_t N, class Levels>
void quantize_blocks(const SuperFormat<Levels>& format, std::span<const Block> blocks) {
    constexpr std::size_t kBlocks = kLanes * N / kSuperWeights;
    LaneBatch<N> batch;
    for (std::size_t first = 0; first < blocks.size(); first += kBlocks)
        quantize_batch(format, blocks.subspan(first, std::min(kBlocks, blocks.size() - first)), batch);
}

constexpr auto kReaches3 = joined(even_steps<10>(-5.0f, -2.9f), even_steps<4>(-7.0f, -5.3f), even_steps<6>(2.5f, 4.2f),
                                  even_steps<3>(4.6f, 6.0f));
constexpr auto kReaches6 = joined(even_steps<5>(-34.0f, -30.0f), even_steps<3>(30.0f, 32.0f));
constexpr auto kReachesCurved = joined(even_steps<12>(-150.0f, -104.0f), even_steps<6>(96.0f, 130.0f));

// The largest of the multipliers mostly comes near the end of its range; smaller ones leave room for the others' luck.
constexpr Denominators kSixBits = even_steps<kSuperCandidates>(-33.0f, -22.0f);
constexpr Denominators kEightBits = even_steps<kSuperCandidates>(-129.0f, -98.0f);

void quantize_q3_k(std::span<const Block> blocks) {
    quantize_blocks<16>(SuperFormat<EvenLevels>{{-4, 3}, {-32, 31}, 32, kReaches3, kSixBits, 3, pack_q3_k}, blocks);
}
void quantize_q6_k(std::span<const Block> blocks) {
    quantize_blocks<16>(SuperFormat<EvenLevels>{{-32, 31}, {-128, 127}, 0, kReaches6, kEightBits, 12, pack_q6_k},
                        blocks);
}
void quantize_iq4_xs(std::span<const Block> blocks) {
    const Codebook& codebook = iq4_codebook();
    const TableLevels levels{codebook.levels.data(), codebook.midpoints.data()};
    quantize_blocks<32>(SuperFormat<TableLevels>{levels, {-32, 31}, 32, kReachesCurved, kSixBits, 1, pack_iq4_xs},
                        blocks);
}

}  // namespace plasticity::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace plasticity {

HWY_EXPORT(quantize_q3_k);
HWY_EXPORT(quantize_q6_k);
HWY_EXPORT(quantize_iq4_xs);

void quantize_q3_k(std::span<const Block> blocks) {
    HWY_DYNAMIC_DISPATCH(quantize_q3_k)(blocks);
}
void quantize_q6_k(std::span<const Block> blocks) {
    HWY_DYNAMIC_DISPATCH(quantize_q6_k)(blocks);
}
void quantize_iq4_xs(std::span<const Block> blocks) {
    HWY_DYNAMIC_DISPATCH(quantize_iq4_xs)(blocks);
}

}  // namespace plasticity
#endif  // HWY_ONCE
