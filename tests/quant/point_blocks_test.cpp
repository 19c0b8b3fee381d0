#include "quant/point_blocks.h"

#include <gtest/gtest.h>

#include <random>
#include <string>
#include <vector>

#include "quant/own_quantizers.h"

namespace plasticity {
namespace {

constexpr std::size_t kWeights = 256;

std::vector<ggml_type> point_types() {
    std::vector<ggml_type> types;
    for (int number = 0; number < GGML_TYPE_COUNT; ++number)
        if (point_format(static_cast<ggml_type>(number)) != nullptr) types.push_back(static_cast<ggml_type>(number));
    return types;
}

/// A block as the type's own quantiser makes it.
std::vector<std::byte> quantized_block(ggml_type type) {
    std::mt19937 generator(5);
    std::normal_distribution<float> weight(0.0f, 0.05f);
    std::vector<float> weights(kWeights);
    for (float& value : weights) value = weight(generator);
    std::vector<std::byte> bytes(ggml_type_size(type));
    const Block block{weights.data(), nullptr, bytes.data()};
    own_quantizer(type)(std::span(&block, 1));
    return bytes;
}

class PointBlocks : public testing::TestWithParam<ggml_type> {};

// Scale times multiplier times magnitude is exact in 32 bits, so that what is written is what ggml reads to the bit.
TEST_P(PointBlocks, HoldWhatGgmlReads) {
    const PointFormat& format = *point_format(GetParam());
    const SignedGrid& grid = *format.grid;
    std::vector<std::byte> block = quantized_block(GetParam());
    auto* bytes = reinterpret_cast<std::uint8_t*>(block.data());
    GridCodes codes{};
    format.read_scales(bytes, codes);
    EXPECT_NE(codes.scale, 0);

    std::mt19937 generator(7);
    std::uniform_int_distribution<std::size_t> any_point(0, grid.second.size() - 1);
    for (std::size_t cell = 0; cell < kWeights / grid.dims; ++cell)
        codes.points[cell] = static_cast<std::uint16_t>(any_point(generator));
    for (std::uint8_t& signs : codes.signs) signs = static_cast<std::uint8_t>(generator());
    format.write(codes, bytes);

    std::vector<float> values(kWeights);
    ggml_get_type_traits(GetParam())->to_float(bytes, values.data(), kWeights);
    for (std::size_t i = 0; i < kWeights; ++i) {
        const auto word =
            static_cast<std::uint32_t>(grid.points[(codes.points[i / grid.dims] * grid.dims + i % grid.dims) / 4]);
        const auto magnitude = static_cast<float>(word >> 8 * (i % 4) & 255);
        const int multiplier = 2 * codes.multipliers[i / format.group_weights] + 1;
        const float size =
            ggml_fp16_to_fp32(codes.scale) * static_cast<float>(multiplier) * SignedGrid::kUnit * magnitude;
        ASSERT_EQ(values[i], codes.signs[i / 8] >> i % 8 & 1 ? -size : size) << i;
    }
    GridCodes again{};
    format.read_scales(bytes, again);
    EXPECT_EQ(again.scale, codes.scale);
    EXPECT_TRUE(std::equal(std::begin(again.multipliers), std::end(again.multipliers), codes.multipliers));
}

INSTANTIATE_TEST_SUITE_P(All, PointBlocks, testing::ValuesIn(point_types()),
                         [](const auto& type_info) { return std::string(ggml_type_name(type_info.param)); });

TEST(PointFormat, IsKnownForGridsWithFreeSigns) {
    EXPECT_EQ(point_types(), (std::vector{GGML_TYPE_IQ3_S, GGML_TYPE_IQ2_S}));
}

}  // namespace
}  // namespace plasticity
