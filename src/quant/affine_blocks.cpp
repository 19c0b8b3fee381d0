#include "quant/affine_blocks.h"

#include "quant/flat_packing.h"
#include "quant/vector_targets.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "quant/affine_blocks.cpp"
#include <hwy/foreach_target.h>

#include "quant/affine_search-inl.h"

HWY_BEFORE_NAMESPACE();
namespace plasticity::HWY_NAMESPACE {

struct AffineFormat {
    float top;
    std::span<const AffineStart> starts;
    void (*pack)(LaneCodes, std::uint8_t*);
};

HWY_INLINE void quantize_batch(const AffineFormat& format, std::span<const Block> blocks,
                               LaneBatch<kFlatWeights>& batch) {
    batch.load(blocks, 1);
    stress_large_weights(batch, 1);
    LaneFloats scales, minima, means;
    for_lane_groups(batch, [&](std::size_t lane, LaneView view) HWY_ATTR {
        const AffineGroup group = survey<kFlatWeights>(view, false);
        const AffineFit best = search_affine<kFlatWeights>(view, group, format.starts, format.top);
        hn::StoreU(best.scale, FloatTag(), scales.data() + lane);
        hn::StoreU(hn::Neg(hn::Add(group.low, best.base)), FloatTag(), minima.data() + lane);
        hn::StoreU(hn::Add(group.low, ratio_or_zero(group.y, group.w)), FloatTag(), means.data() + lane);
    });
    for (std::size_t lane = 0; lane < blocks.size(); ++lane) {
        const HalfFloat scale = to_half(scales[lane]);
        // Weights too close together for any F16 scale: one value for all.
        const HalfFloat value = to_half(scale.value > 0 ? -minima[lane] : means[lane]);
        scales[lane] = scale.value;
        minima[lane] = -value.value;
        std::memcpy(blocks[lane].out, &scale.bits, sizeof scale.bits);
        std::memcpy(blocks[lane].out + sizeof scale.bits, &value.bits, sizeof value.bits);
    }
    assign_affine_codes(scales, minima, format.top, batch);
    for (std::size_t lane = 0; lane < blocks.size(); ++lane)
        format.pack({batch.codes + lane}, reinterpret_cast<std::uint8_t*>(blocks[lane].out) + 2 * sizeof(ggml_fp16_t));
}

void quantize_blocks(const AffineFormat& format, std::span<const Block> blocks) {
    LaneBatch<kFlatWeights> batch;
    for (std::size_t first = 0; first < blocks.size(); first += kLanes)
        quantize_batch(format, blocks.subspan(first, std::min(kLanes, blocks.size() - first)), batch);
}

constexpr auto kStarts4 = starts_around(15.0f, joined(even_steps<8>(-1.6f, 1.9f), std::array{3.0f, 5.0f, 8.0f}));
constexpr auto kStarts5 = starts_around(31.0f, joined(even_steps<10>(-2.4f, 3.0f), std::array{5.0f, 9.0f}));

void quantize_q4_1(std::span<const Block> blocks) {
    quantize_blocks({15, kStarts4, pack_nibbles}, blocks);
}
void quantize_q5_1(std::span<const Block> blocks) {
    quantize_blocks({31, kStarts5, pack_nibbles_and_fifth_bits}, blocks);
}

}  // namespace plasticity::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace plasticity {

HWY_EXPORT(quantize_q4_1);
HWY_EXPORT(quantize_q5_1);

void quantize_q4_1(std::span<const Block> blocks) {
    HWY_DYNAMIC_DISPATCH(quantize_q4_1)(blocks);
}
void quantize_q5_1(std::span<const Block> blocks) {
    HWY_DYNAMIC_DISPATCH(quantize_q5_1)(blocks);
}

}  // namespace plasticity
#endif  // HWY_ONCE
