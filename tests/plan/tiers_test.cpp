#include "plan/tiers.h"

#include <gtest/gtest.h>

#include "artifact/type_names.h"

namespace plasticity {
namespace {

using Ladder = std::vector<ggml_type>;

TEST(TierOf, FollowsTheThresholds) {
    EXPECT_EQ(tier_of(0.0), Tier::kLowest);
    EXPECT_EQ(tier_of(0.2999), Tier::kLowest);
    EXPECT_EQ(tier_of(0.3), Tier::kLow);
    EXPECT_EQ(tier_of(0.5), Tier::kMedium);
    EXPECT_EQ(tier_of(0.7), Tier::kHigh);
    EXPECT_EQ(tier_of(1.0), Tier::kHigh);
}

TEST(TypeLadder, FollowsTheRowLengthAndTheFloor) {
    EXPECT_EQ(type_ladder(4864, GGML_TYPE_Q3_K), (Ladder{GGML_TYPE_F16, GGML_TYPE_Q8_0, GGML_TYPE_Q6_K, GGML_TYPE_Q5_K,
                                                         GGML_TYPE_Q4_K, GGML_TYPE_IQ4_XS, GGML_TYPE_Q3_K}));
    EXPECT_EQ(type_ladder(4864, GGML_TYPE_Q2_K).back(), GGML_TYPE_Q2_K);
    EXPECT_EQ(type_ladder(4864, GGML_TYPE_Q5_K).back(), GGML_TYPE_Q5_K);
    EXPECT_EQ(type_ladder(896, GGML_TYPE_Q3_K), (Ladder{GGML_TYPE_F16, GGML_TYPE_Q8_0, GGML_TYPE_Q5_1, GGML_TYPE_Q5_0,
                                                        GGML_TYPE_Q4_1, GGML_TYPE_IQ4_NL}));
    EXPECT_EQ(type_ladder(896, GGML_TYPE_F16), (Ladder{GGML_TYPE_F16}));
    EXPECT_EQ(type_ladder(40, GGML_TYPE_Q3_K), (Ladder{GGML_TYPE_F16}));
}

TEST(TypeLadder, BitsFallAndBlocksFit) {
    for (const std::int64_t length : {32, 64, 256, 576, 896, 3200, 4096}) {
        const Ladder ladder = type_ladder(length, GGML_TYPE_Q2_K);
        for (std::size_t i = 0; i < ladder.size(); ++i) {
            EXPECT_EQ(length % ggml_blck_size(ladder[i]), 0);
            if (i > 0) {
                EXPECT_LT(bits_per_weight(ladder[i]), bits_per_weight(ladder[i - 1]));
            }
        }
    }
}

TEST(StartLevel, IsTheTiersTypeOrTheNextAbove) {
    const auto start = [](std::int64_t length, Tier tier, ggml_type floor = GGML_TYPE_Q3_K) {
        const Ladder ladder = type_ladder(length, floor);
        return ladder[start_level(ladder, tier)];
    };
    EXPECT_EQ(start(512, Tier::kHigh), GGML_TYPE_Q6_K);
    EXPECT_EQ(start(512, Tier::kMedium), GGML_TYPE_Q5_K);
    EXPECT_EQ(start(512, Tier::kLow), GGML_TYPE_Q4_K);
    EXPECT_EQ(start(512, Tier::kLowest), GGML_TYPE_Q3_K);
    EXPECT_EQ(start(512, Tier::kLowest, GGML_TYPE_Q2_K), GGML_TYPE_Q3_K);  // the floor is a bound, not a wish
    EXPECT_EQ(start(512, Tier::kLowest, GGML_TYPE_Q5_K), GGML_TYPE_Q5_K);
    EXPECT_EQ(start(896, Tier::kHigh), GGML_TYPE_Q8_0);
    EXPECT_EQ(start(896, Tier::kMedium), GGML_TYPE_Q5_0);
    EXPECT_EQ(start(896, Tier::kLow), GGML_TYPE_IQ4_NL);
    EXPECT_EQ(start(896, Tier::kLowest), GGML_TYPE_IQ4_NL);
    EXPECT_EQ(start(40, Tier::kLowest), GGML_TYPE_F16);
}

}  // namespace
}  // namespace plasticity
