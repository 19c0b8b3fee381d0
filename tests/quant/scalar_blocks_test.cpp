#include "quant/scalar_blocks.h"

#include <gtest/gtest.h>

#include <cstring>
#include <random>
#include <string>
#include <vector>

#include "quant/own_quantizers.h"

namespace plasticity {
namespace {

std::vector<ggml_type> scalar_types() {
    std::vector<ggml_type> types;
    for (int number = 0; number < GGML_TYPE_COUNT; ++number)
        if (scalar_format(static_cast<ggml_type>(number)) != nullptr) types.push_back(static_cast<ggml_type>(number));
    return types;
}

constexpr std::size_t kBlocks = 24;

/// Blocks of a type as its own quantiser makes them, of weights with a mean, so that minima are in use.
std::vector<std::byte> quantized_blocks(ggml_type type) {
    std::mt19937 generator(5);
    std::normal_distribution<float> weight(-0.02f, 0.05f);
    const auto block_weights = static_cast<std::size_t>(ggml_blck_size(type));
    std::vector<float> weights(kBlocks * block_weights);
    for (float& value : weights) value = weight(generator);
    std::vector<std::byte> bytes(kBlocks * ggml_type_size(type));
    std::vector<Block> blocks;
    for (std::size_t b = 0; b < kBlocks; ++b)
        blocks.push_back({weights.data() + b * block_weights, nullptr, bytes.data() + b * ggml_type_size(type)});
    own_quantizer(type)(blocks);
    return bytes;
}

std::vector<float> dequantized(ggml_type type, const std::byte* block) {
    std::vector<float> values(static_cast<std::size_t>(ggml_blck_size(type)));
    ggml_get_type_traits(type)->to_float(block, values.data(), static_cast<std::int64_t>(values.size()));
    return values;
}

float level_of(const ScalarFormat& format, std::uint8_t code) {
    return format.codebook != nullptr ? format.codebook->levels[code] : format.lowest + static_cast<float>(code);
}

int code_count(const ScalarFormat& format) {
    return static_cast<int>(format.highest - format.lowest) + 1;
}

class ScalarBlocks : public testing::TestWithParam<ggml_type> {};

// The scales read are those that ggml multiplies by, and the codes land where ggml looks for them: to the last bit,
// since scale times level is exact in 32 bits.
TEST_P(ScalarBlocks, HoldWhatGgmlReads) {
    const ScalarFormat& format = *scalar_format(GetParam());
    ASSERT_EQ(static_cast<std::int64_t>(format.block_weights), ggml_blck_size(GetParam()));
    auto bytes = quantized_blocks(GetParam());
    std::mt19937 generator(7);
    std::uniform_int_distribution<int> any_code(0, code_count(format) - 1);
    for (std::size_t b = 0; b < kBlocks; ++b) {
        std::byte* block = bytes.data() + b * ggml_type_size(GetParam());
        std::vector<std::uint8_t> codes(format.block_weights);
        for (std::uint8_t& code : codes) code = static_cast<std::uint8_t>(any_code(generator));
        GroupScales scales;
        format.read_scales(block, scales);
        format.write_codes(codes.data(), block);
        const auto values = dequantized(GetParam(), block);
        for (std::size_t i = 0; i < values.size(); ++i) {
            const std::size_t group = i / format.group_weights;
            ASSERT_EQ(values[i], scales.scale[group] * level_of(format, codes[i]) - scales.offset[group]) << i;
        }
    }
}

// Codes found again from what ggml reads restore every byte: write_codes touches nothing but codes.
TEST_P(ScalarBlocks, GetTheirBytesBackFromTheirCodes) {
    const ScalarFormat& format = *scalar_format(GetParam());
    const auto original = quantized_blocks(GetParam());
    auto bytes = original;
    for (std::size_t b = 0; b < kBlocks; ++b) {
        std::byte* block = bytes.data() + b * ggml_type_size(GetParam());
        const auto values = dequantized(GetParam(), block);
        GroupScales scales;
        format.read_scales(block, scales);
        std::vector<std::uint8_t> codes(format.block_weights);
        for (std::size_t i = 0; i < codes.size(); ++i) {
            const std::size_t group = i / format.group_weights;
            ASSERT_NE(scales.scale[group], 0);
            int code = 0;
            while (scales.scale[group] * level_of(format, static_cast<std::uint8_t>(code)) - scales.offset[group] !=
                   values[i])
                ASSERT_LT(++code, code_count(format)) << "no code gives weight " << i;
            codes[i] = static_cast<std::uint8_t>(code);
        }
        const std::vector<std::uint8_t> others(format.block_weights, 0);
        format.write_codes(others.data(), block);
        format.write_codes(codes.data(), block);
    }
    EXPECT_EQ(bytes, original);
}

INSTANTIATE_TEST_SUITE_P(All, ScalarBlocks, testing::ValuesIn(scalar_types()),
                         [](const auto& type_info) { return std::string(ggml_type_name(type_info.param)); });

TEST(ScalarFormat, IsKnownForEveryTypeButGrids) {
    for (int number = 0; number < GGML_TYPE_COUNT; ++number) {
        const auto type = static_cast<ggml_type>(number);
        const bool grid = type == GGML_TYPE_IQ3_S || type == GGML_TYPE_IQ3_XXS || type == GGML_TYPE_IQ2_S;
        EXPECT_EQ(scalar_format(type) != nullptr, own_quantizer(type) != nullptr && !grid) << ggml_type_name(type);
    }
}

}  // namespace
}  // namespace plasticity
