#include "quant/flat_blocks.h"

#include "quant/codebook.h"
#include "quant/flat_packing.h"
#include "quant/vector_targets.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "quant/flat_blocks.cpp"
#include <hwy/foreach_target.h>

#include "quant/scale_search-inl.h"

HWY_BEFORE_NAMESPACE();
namespace plasticity::HWY_NAMESPACE {

/// A format: its levels, where the search puts the largest weight, and how codes become bytes.
template <class Levels>
struct FlatFormat {
    Levels levels;
    std::span<const float> reaches;
    int steps;
    void (*pack)(LaneCodes, std::uint8_t*);
};

template <class Levels>
HWY_INLINE void quantize_batch(const FlatFormat<Levels>& format, std::span<const Block> blocks,
                               LaneBatch<kFlatWeights>& batch) {
    batch.load(blocks, 1);
    stress_large_weights(batch, 1);
    LaneFloats scales;
    for_lane_groups(batch, [&](std::size_t lane, LaneView view) HWY_ATTR {
        const Moments best = search_scale<kFlatWeights>(format.levels, view, format.reaches, format.steps);
        hn::StoreU(best.scale(), FloatTag(), scales.data() + lane);
    });
    for (std::size_t lane = 0; lane < blocks.size(); ++lane) {
        const HalfFloat scale = to_half(scales[lane]);
        scales[lane] = scale.value;
        std::memcpy(blocks[lane].out, &scale.bits, sizeof scale.bits);
    }
    assign_codes(format.levels, scales, batch);
    for (std::size_t lane = 0; lane < blocks.size(); ++lane)
        format.pack({batch.codes + lane}, reinterpret_cast<std::uint8_t*>(blocks[lane].out) + sizeof(ggml_fp16_t));
}

template <class Levels>
void quantize_blocks(const FlatFormat<Levels>& format, std::span<const Block> blocks) {
    LaneBatch<kFlatWeights> batch;
    for (std::size_t first = 0; first < blocks.size(); first += kLanes)
        quantize_batch(format, blocks.subspan(first, std::min(kLanes, blocks.size() - first)), batch);
}

// Where the largest weight may lie: around the last level on the longer side, or on the other one. The finer the
// levels, the more neighbouring scales differ only by the luck of rounding, and the more of them are worth a try; at
// eight bits more than sixteen would take off less than 1 % of an error that is small.
constexpr auto kReaches4 = joined(even_steps<12>(-9.5f, -6.6f), even_steps<6>(-16.5f, -10.2f),
                                  even_steps<6>(6.2f, 8.6f), even_steps<4>(9.5f, 14.0f));
constexpr auto kReaches5 = joined(even_steps<22>(-18.0f, -14.2f), even_steps<4>(-32.0f, -20.0f),
                                  even_steps<10>(14.2f, 17.0f), even_steps<4>(19.0f, 30.0f));
constexpr auto kReaches8 = even_steps<16>(-134.0f, -122.0f);
constexpr auto kReachesCurved = joined(even_steps<12>(-150.0f, -104.0f), even_steps<4>(-250.0f, -160.0f),
                                       even_steps<6>(96.0f, 130.0f), even_steps<2>(150.0f, 180.0f));

void quantize_q4_0(std::span<const Block> blocks) {
    quantize_blocks(FlatFormat<EvenLevels>{{-8, 7}, kReaches4, 2, pack_nibbles}, blocks);
}
void quantize_q5_0(std::span<const Block> blocks) {
    quantize_blocks(FlatFormat<EvenLevels>{{-16, 15}, kReaches5, 2, pack_nibbles_and_fifth_bits}, blocks);
}
void quantize_q8_0(std::span<const Block> blocks) {
    quantize_blocks(FlatFormat<EvenLevels>{{-127, 127}, kReaches8, 1, pack_bytes}, blocks);
}
void quantize_iq4_nl(std::span<const Block> blocks) {
    const Codebook& codebook = iq4_codebook();
    const TableLevels levels{codebook.levels.data(), codebook.midpoints.data()};
    quantize_blocks(FlatFormat<TableLevels>{levels, kReachesCurved, 2, pack_nibbles}, blocks);
}

}  // namespace plasticity::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace plasticity {

HWY_EXPORT(quantize_q4_0);
HWY_EXPORT(quantize_q5_0);
HWY_EXPORT(quantize_q8_0);
HWY_EXPORT(quantize_iq4_nl);

void quantize_q4_0(std::span<const Block> blocks) {
    HWY_DYNAMIC_DISPATCH(quantize_q4_0)(blocks);
}
void quantize_q5_0(std::span<const Block> blocks) {
    HWY_DYNAMIC_DISPATCH(quantize_q5_0)(blocks);
}
void quantize_q8_0(std::span<const Block> blocks) {
    HWY_DYNAMIC_DISPATCH(quantize_q8_0)(blocks);
}
void quantize_iq4_nl(std::span<const Block> blocks) {
    HWY_DYNAMIC_DISPATCH(quantize_iq4_nl)(blocks);
}

}  // namespace plasticity
#endif  // HWY_ONCE
