#include "quant/own_quantizers.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <numeric>
#include <random>
#include <string>
#include <vector>

#include "quant/block_check.h"
#include "support/instructions.h"

namespace plasticity {
namespace {

constexpr std::int64_t kCols = 1024;

std::vector<ggml_type> own_types() {
    std::vector<ggml_type> types;
    for (int number = 0; number < GGML_TYPE_COUNT; ++number)
        if (own_quantizer(static_cast<ggml_type>(number)) != nullptr) types.push_back(static_cast<ggml_type>(number));
    return types;
}

std::vector<float> gaussian_rows(std::size_t count) {
    std::mt19937 generator(11);
    std::normal_distribution<float> weight(0.0f, 0.05f);
    std::vector<float> rows(count);
    for (float& value : rows) value = weight(generator);
    return rows;
}

/// As in trained matrices: heavy tails (Student's t with 5 degrees of freedom), and channels of differing spread.
std::vector<float> heavy_tailed_rows(std::size_t count) {
    std::mt19937 generator(13);
    std::student_t_distribution<float> weight(5.0f);
    std::lognormal_distribution<float> spread(-3.5f, 0.5f);
    std::vector<float> channels(kCols), rows(count);
    for (float& value : channels) value = spread(generator);
    for (std::size_t i = 0; i < count; ++i) rows[i] = weight(generator) * channels[i % channels.size()];
    return rows;
}

/// Mean squared activations: over several orders of magnitude, a few channels far above the others.
std::vector<float> skewed_importance() {
    std::mt19937 generator(17);
    std::lognormal_distribution<float> energy(0.0f, 1.2f);
    std::vector<float> importance(kCols);
    for (float& value : importance) value = energy(generator);
    for (std::size_t i = 100; i < importance.size(); i += 256) importance[i] *= 300.0f;
    return importance;
}

/// Bytes of whole rows of kCols; importance may be empty.
std::vector<std::byte> own_bytes(ggml_type type, std::span<const float> rows, std::span<const float> importance) {
    const auto weights = static_cast<std::size_t>(ggml_blck_size(type));
    std::vector<std::byte> bytes(ggml_row_size(type, static_cast<std::int64_t>(rows.size())));
    std::vector<Block> blocks;
    for (std::size_t at = 0; at < rows.size(); at += weights)
        blocks.push_back({.weights = rows.data() + at,
                          .importance = importance.empty() ? nullptr : importance.data() + at % kCols,
                          .out = bytes.data() + at / weights * ggml_type_size(type)});
    own_quantizer(type)(blocks);
    return bytes;
}

std::vector<std::byte> ggml_bytes(ggml_type type, std::span<const float> rows, std::span<const float> importance) {
    std::vector<std::byte> bytes(ggml_row_size(type, static_cast<std::int64_t>(rows.size())));
    const std::vector<float> alike(kCols, 1.0f);
    if (importance.empty() && ggml_quantize_requires_imatrix(type)) importance = alike;
    ggml_quantize_chunk(type, rows.data(), bytes.data(), 0, static_cast<std::int64_t>(rows.size()) / kCols, kCols,
                        importance.empty() ? nullptr : importance.data());
    return bytes;
}

std::vector<float> dequantized(ggml_type type, std::span<const std::byte> bytes, std::size_t count) {
    std::vector<float> values(count);
    ggml_get_type_traits(type)->to_float(bytes.data(), values.data(), static_cast<std::int64_t>(count));
    return values;
}

double weighted_error(std::span<const float> rows, std::span<const float> got, std::span<const float> importance) {
    double error = 0;
    for (std::size_t i = 0; i < rows.size(); ++i) {
        const double difference = double{rows[i]} - double{got[i]};
        error += (importance.empty() ? 1.0 : double{importance[i % importance.size()]}) * difference * difference;
    }
    return error;
}

class OwnQuantizer : public testing::TestWithParam<ggml_type> {};

TEST_P(OwnQuantizer, ErrsNoMoreThanGgmls) {
    const ggml_type type = GetParam();
    ggml_quantize_init(type);
    for (const auto& rows : {gaussian_rows(8 * kCols), heavy_tailed_rows(8 * kCols)})
        for (const auto& importance : {std::vector<float>{}, skewed_importance()}) {
            const auto own = dequantized(type, own_bytes(type, rows, importance), rows.size());
            const auto reference = dequantized(type, ggml_bytes(type, rows, importance), rows.size());
            EXPECT_LE(weighted_error(rows, own, importance), weighted_error(rows, reference, importance));
        }
}

TEST_P(OwnQuantizer, GivesTheSameBytesWithAllInstructions) {
    const ggml_type type = GetParam();
    const auto rows = heavy_tailed_rows(3 * kCols);
    const auto importance = skewed_importance();
    const auto expected = own_bytes(type, rows, importance);
    const int tried = test::with_all_instructions(
        [&](const char* name) { EXPECT_EQ(own_bytes(type, rows, importance), expected) << name; });
    EXPECT_GE(tried, 1);
}

TEST_P(OwnQuantizer, TakesBlocksFromAnywhere) {
    const ggml_type type = GetParam();
    const auto weights = static_cast<std::size_t>(ggml_blck_size(type));
    const auto rows = heavy_tailed_rows(3 * kCols);
    const auto importance = skewed_importance();
    const auto expected = own_bytes(type, rows, importance);

    std::vector<std::byte> bytes(expected.size());
    std::vector<Block> blocks;
    for (std::size_t at = 0; at < rows.size(); at += weights)
        blocks.push_back(
            {rows.data() + at, importance.data() + at % kCols, bytes.data() + at / weights * ggml_type_size(type)});
    std::ranges::shuffle(blocks, std::mt19937(3));
    for (std::size_t first = 0, count = 1; first < blocks.size(); first += count, ++count) {
        count = std::min(count, blocks.size() - first);
        own_quantizer(type)(std::span(blocks).subspan(first, count));
    }
    EXPECT_EQ(bytes, expected);
}

/// One block of each kind that a search may stumble over.
std::vector<std::vector<float>> awkward_blocks(std::size_t weights) {
    constexpr float kLargest = 65504.0f, kDenormal = std::numeric_limits<float>::denorm_min();
    std::vector<std::vector<float>> blocks;
    for (const float value : {0.0f, -0.0f, 1.0f, -1.0f, kLargest, -kLargest, 1e-7f, -6e-8f, 1e-30f, kDenormal})
        blocks.emplace_back(weights, value);
    for (const float value : {kLargest, 1.0f, 1e-7f, 1e-38f, 3 * kDenormal}) {
        std::vector<float> alternating(weights), lonely(weights, 0.0f), rising(weights);
        for (std::size_t i = 0; i < weights; ++i) alternating[i] = i % 2 ? value : -value;
        lonely[weights / 3] = value;
        for (std::size_t i = 0; i < weights; ++i)
            rising[i] = value * static_cast<float>(i + 1) / static_cast<float>(weights);
        blocks.insert(blocks.end(), {alternating, lonely, rising});
    }
    return blocks;
}

TEST_P(OwnQuantizer, StaysFiniteAndCloseOnAwkwardBlocks) {
    const ggml_type type = GetParam();
    const auto weights = static_cast<std::size_t>(ggml_blck_size(type));
    const std::vector<float> importance(weights, 1.0f);
    std::vector<float> steep(weights);
    for (std::size_t i = 0; i < weights; ++i) steep[i] = i % 7 == 0 ? 1e12f : 1e-12f;
    for (const auto& block : awkward_blocks(weights))
        for (const float* weighing : std::initializer_list<const float*>{nullptr, importance.data(), steep.data()}) {
            std::vector<std::byte> bytes(ggml_type_size(type));
            const Block job{block.data(), weighing, bytes.data()};
            own_quantizer(type)({&job, 1});
            ASSERT_EQ(first_non_finite(type, bytes), std::nullopt) << block[0] << ' ' << block[1];
            if (weighing == steep.data()) continue;
            // Within the norm of the block: no worse than all zeros, but for what F16 scales cannot resolve.
            const auto got = dequantized(type, bytes, weights);
            const double norm = weighted_error(block, std::vector<float>(weights), {});
            EXPECT_LE(weighted_error(block, got, {}), norm * 1.0001 + static_cast<double>(weights) * 1e-14)
                << block[0] << ' ' << block[1];
        }
}

/// Bytes of a block that hold codes and signs: [begin, end). Layouts: the packing headers.
struct CodeBytes {
    std::size_t begin;
    std::size_t end;
};

CodeBytes code_bytes(ggml_type type) {
    switch (type) {
        case GGML_TYPE_Q3_K:
            return {0, 96};
        case GGML_TYPE_Q6_K:
            return {0, 192};
        case GGML_TYPE_Q2_K:
            return {16, 80};
        case GGML_TYPE_Q4_K:
        case GGML_TYPE_Q5_K:
            return {16, ggml_type_size(type)};
        case GGML_TYPE_Q4_1:
        case GGML_TYPE_Q5_1:
            return {4, ggml_type_size(type)};
        case GGML_TYPE_IQ4_XS:
            return {8, ggml_type_size(type)};
        case GGML_TYPE_IQ3_S:
            return {2, 106};
        case GGML_TYPE_IQ3_XXS:
            return {2, 66};
        case GGML_TYPE_IQ2_S:
            return {2, 74};
        default:
            return {2, ggml_type_size(type)};
    }
}

// Given the scales that were chosen, every weight (or point of a grid) must have the best code there is. ggml's own
// dequantisation is the judge: no bit of a code may be turned to lower the error.
TEST_P(OwnQuantizer, LeavesNoCodeThatAnotherWouldBeat) {
    const ggml_type type = GetParam();
    const auto weights = static_cast<std::size_t>(ggml_blck_size(type));
    const auto rows = heavy_tailed_rows(kCols);
    const auto importance = skewed_importance();
    auto bytes = own_bytes(type, rows, importance);
    const auto [begin, end] = code_bytes(type);
    for (std::size_t at = 0; at < rows.size(); at += weights) {
        const auto block = std::span(rows).subspan(at, weights);
        const auto weighing = std::span(importance).subspan(at, weights);
        const auto stored = std::span(bytes).subspan(at / weights * ggml_type_size(type), ggml_type_size(type));
        const double error = weighted_error(block, dequantized(type, stored, weights), weighing);
        for (std::size_t bit = 8 * begin; bit < 8 * end; ++bit) {
            stored[bit / 8] ^= std::byte{1} << bit % 8;
            // Q8_0 leaves out -128, whose magnitude kernels that negate bytes cannot hold.
            if (type == GGML_TYPE_Q8_0 && stored[bit / 8] == std::byte{0x80}) {
                stored[bit / 8] ^= std::byte{1} << bit % 8;
                continue;
            }
            // Ties between codes are decided in 32-bit floats.
            EXPECT_GE(weighted_error(block, dequantized(type, stored, weights), weighing), error * (1 - 1e-5))
                << "block " << at / weights << ", bit " << bit;
            stored[bit / 8] ^= std::byte{1} << bit % 8;
        }
    }
}

INSTANTIATE_TEST_SUITE_P(All, OwnQuantizer, testing::ValuesIn(own_types()),
                         [](const auto& type_info) { return std::string(ggml_type_name(type_info.param)); });

/// The lowest weighted error of a flat block over a dense scan of scales, every weight at its nearest level.
double scanned_optimum(std::span<const float> block, std::span<const float> importance, std::span<const float> levels) {
    float largest = 0;
    for (const float x : block) largest = std::max(largest, std::fabs(x));
    const float end = std::max(std::fabs(levels.front()), std::fabs(levels.back()));
    double best = std::numeric_limits<double>::max();
    for (int step = -3000; step <= 3000; ++step) {
        const double scale = double{largest} / double{end} * step / 1500.0;
        double error = 0;
        for (std::size_t i = 0; i < block.size() && error < best; ++i) {
            double nearest = std::numeric_limits<double>::max();
            for (const float level : levels) nearest = std::min(nearest, std::fabs(double{block[i]} - scale * level));
            error += double{importance[i]} * nearest * nearest;
        }
        best = std::min(best, error);
    }
    return best;
}

/// All levels of a flat type, by dequantising every code at scale 1.
std::vector<float> levels_of(ggml_type type) {
    std::vector<std::uint8_t> block(ggml_type_size(type));
    const ggml_fp16_t one = ggml_fp32_to_fp16(1.0f);
    std::memcpy(block.data(), &one, sizeof one);
    std::vector<float> levels, values(static_cast<std::size_t>(ggml_blck_size(type)));
    for (int byte = 0; byte < 256; ++byte) {
        std::fill(block.begin() + sizeof one, block.end(), static_cast<std::uint8_t>(byte));
        ggml_get_type_traits(type)->to_float(block.data(), values.data(), static_cast<std::int64_t>(values.size()));
        levels.insert(levels.end(), values.begin(), values.end());
    }
    std::ranges::sort(levels);
    levels.erase(std::ranges::unique(levels).begin(), levels.end());
    return levels;
}

/// What the search minimises by: importance · √(2 · mean weight² of the block + weight²).
std::vector<float> stressed_importance(std::span<const float> rows) {
    std::vector<float> stressed = skewed_importance();
    for (std::size_t at = 0; at < rows.size(); at += 32) {
        const auto block = rows.subspan(at, 32);
        const float squares = std::inner_product(block.begin(), block.end(), block.begin(), 0.0f);
        for (std::size_t i = 0; i < 32; ++i) stressed[at + i] *= std::sqrt(squares / 16 + block[i] * block[i]);
    }
    return stressed;
}

TEST(FlatBlocks, ComeCloseToADenseScanOfScales) {
    const auto rows = heavy_tailed_rows(kCols);
    const auto importance = skewed_importance(), stressed = stressed_importance(rows);
    for (const ggml_type type : {GGML_TYPE_Q4_0, GGML_TYPE_Q5_0, GGML_TYPE_IQ4_NL}) {
        const auto levels = levels_of(type);
        const auto got = dequantized(type, own_bytes(type, rows, importance), rows.size());
        double optimum = 0;
        for (std::size_t at = 0; at < rows.size(); at += 32)
            optimum += scanned_optimum(std::span(rows).subspan(at, 32), std::span(stressed).subspan(at, 32), levels);
        const double error = weighted_error(rows, got, stressed);
        EXPECT_LE(error, 1.03 * optimum) << ggml_type_name(type);  // two dozen scales against six thousand
        EXPECT_GE(error, 0.99 * optimum) << ggml_type_name(type);  // a scan misses little
    }
}

}  // namespace
}  // namespace plasticity
