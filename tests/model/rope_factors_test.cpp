#include "model/rope_factors.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "core/error.h"

namespace plasticity {
namespace {

using nlohmann::json;

const json kLlama32{{"rope_scaling",
                     {{"rope_type", "llama3"},
                      {"factor", 32.0},
                      {"low_freq_factor", 1.0},
                      {"high_freq_factor", 4.0},
                      {"original_max_position_embeddings", 8192}}}};

TEST(Llama3Rope, KeepsFastRotationsAndStretchesSlowOnes) {
    const auto rope = llama3_rope_from_config(kLlama32);
    ASSERT_TRUE(rope);
    const std::vector<float> factors = rope_frequency_factors(*rope, 500000.0f, 64);
    ASSERT_EQ(factors.size(), 32u);
    EXPECT_EQ(factors.front(), 1.0f);
    EXPECT_EQ(factors.back(), 32.0f);
    EXPECT_TRUE(std::ranges::is_sorted(factors));
    // By hand: dimension 15 of 32 turns with 500000^(-30/64), a wavelength of 2948.3, between 2048 and 8192:
    // smooth = (8192 / 2948.3 - 1) / 3 = 0.5928, and 1 / ((1 - 0.5928) / 32 + 0.5928) = 1.6513.
    EXPECT_NEAR(factors[15], 1.6513f, 1e-4);
}

TEST(Llama3Rope, IsRecognisedFromItsFactors) {
    for (const Llama3Rope& rope : {Llama3Rope{.factor = 8}, Llama3Rope{.factor = 32},
                                   Llama3Rope{.factor = 4, .original_context_length = 4096}}) {
        const auto found = recognise_llama3_rope(rope_frequency_factors(rope, 500000.0f, 128), 500000.0f);
        ASSERT_TRUE(found);
        EXPECT_EQ(found->factor, rope.factor);
        EXPECT_EQ(found->original_context_length, rope.original_context_length);
    }
    const std::vector<float> arbitrary{1, 3, 2, 5};
    EXPECT_FALSE(recognise_llama3_rope(arbitrary, 500000.0f));
    EXPECT_FALSE(recognise_llama3_rope({}, 500000.0f));
}

TEST(Llama3Rope, IsAbsentWhereConfigNamesAnother) {
    EXPECT_FALSE(llama3_rope_from_config(json::object()));
    EXPECT_FALSE(llama3_rope_from_config({{"rope_scaling", nullptr}}));
    EXPECT_FALSE(llama3_rope_from_config({{"rope_parameters", {{"rope_type", "default"}}}}));
}

TEST(Llama3Rope, RefusesNumbersThatMakeNoRamp) {
    for (const json& change : {json{{"factor", 0}}, json{{"high_freq_factor", 1.0}}, json{{"low_freq_factor", -1}},
                               json{{"original_max_position_embeddings", 0}}, json{{"factor", "8"}}}) {
        json config = kLlama32;
        config["rope_scaling"].update(change);
        EXPECT_THROW(llama3_rope_from_config(config), Error) << change.dump();
    }
}

}  // namespace
}  // namespace plasticity
