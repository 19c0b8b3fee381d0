#include "engine/learning_rate.h"

#include <gtest/gtest.h>

#include <cmath>

namespace plasticity {
namespace {

TEST(LearningRate, RisesLinearlyAndFallsAsACosine) {
    const LearningRate rate = cosine_schedule(2.0, 0.25, 16);
    EXPECT_EQ(rate.warmup_steps, 4);
    EXPECT_DOUBLE_EQ(rate.at(0), 0);
    EXPECT_DOUBLE_EQ(rate.at(1), 0.5);
    EXPECT_DOUBLE_EQ(rate.at(4), 2);
    EXPECT_DOUBLE_EQ(rate.at(10), 1);  // half way down
    EXPECT_DOUBLE_EQ(rate.at(7), 1 + std::cos(std::acos(-1.0) / 4));
    EXPECT_NEAR(rate.at(16), 0, 1e-12);
}

TEST(LearningRate, RoundsTheWarmupUp) {
    EXPECT_EQ(cosine_schedule(1, 0.1, 21).warmup_steps, 3);
    EXPECT_EQ(cosine_schedule(1, 0, 21).warmup_steps, 0);
    EXPECT_DOUBLE_EQ(cosine_schedule(1, 0, 21).at(0), 1);
    EXPECT_EQ(cosine_schedule(1, 1, 3).warmup_steps, 3);
}

}  // namespace
}  // namespace plasticity
