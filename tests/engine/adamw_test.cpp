#include "engine/adamw.h"

#include <gtest/gtest.h>

#include <array>
#include <cmath>

namespace plasticity {
namespace {

// Moments divided by what they lack are the gradient and its square, so the first step is the learning rate itself.
TEST(AdamW, FirstStepGoesByTheLearningRateAgainstTheGradient) {
    std::vector<float> a{1.0f}, b{-2.0f, 5.0f};
    AdamW optimizer(std::array<std::size_t, 2>{1, 2}, {});
    const std::vector<float> of_a{0.5f}, of_b{-3.0f, 1e-3f};
    optimizer.step(std::array{TrainedArray{a, of_a}, TrainedArray{b, of_b}}, 0.125);
    EXPECT_FLOAT_EQ(a[0], 1.0f - 0.125f);
    EXPECT_FLOAT_EQ(b[0], -2.0f + 0.125f);
    EXPECT_NEAR(b[1], 5.0f - 0.125f, 1e-5);
    EXPECT_EQ(optimizer.state().n_steps, 1);
}

TEST(AdamW, FollowsTheMoments) {
    std::vector<float> values{0.0f, 0.0f};
    AdamW optimizer(std::array<std::size_t, 1>{2}, {});
    double first = 0, second = 0, value = 0;
    int n = 0;
    for (const float g : {1.0f, -0.5f, 2.0f, 0.25f}) {
        const std::vector<float> gradients{g, 0.0f};
        optimizer.step(std::array{TrainedArray{values, gradients}}, 0.01);
        ++n;
        first = 0.9 * first + 0.1 * double{g};
        second = 0.999 * second + 0.001 * double{g} * double{g};
        value -= 0.01 * (first / (1 - std::pow(0.9, n))) / (std::sqrt(second / (1 - std::pow(0.999, n))) + 1e-8);
        EXPECT_NEAR(values[0], value, 1e-7);
        EXPECT_EQ(values[1], 0.0f);  // without a gradient nothing moves
    }
}

TEST(AdamW, DecaysApartFromTheGradient) {
    std::vector<float> values{4.0f};
    const std::vector<float> none{0.0f};
    AdamW optimizer(std::array<std::size_t, 1>{1}, {.weight_decay = 0.5});
    optimizer.step(std::array{TrainedArray{values, none}}, 0.125);
    EXPECT_FLOAT_EQ(values[0], 4.0f * (1 - 0.125f * 0.5f));
}

}  // namespace
}  // namespace plasticity
