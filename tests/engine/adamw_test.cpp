#include "engine/adamw.h"

#include <gtest/gtest.h>

#include <cmath>

namespace plasticity {
namespace {

LoraAdapter one_value(float a, float b) {
    return {
        .rank = 1, .alpha = 1, .matrices = {{.id = {TensorRole::kQuery, 0}, .rows = 1, .cols = 1, .a = {a}, .b = {b}}}};
}

// Moments divided by what they lack are the gradient and its square, so the first step is the learning rate itself.
TEST(AdamW, FirstStepGoesByTheLearningRateAgainstTheGradient) {
    LoraAdapter adapter = one_value(1.0f, -2.0f);
    AdamW optimizer(adapter, {});
    optimizer.step(adapter, std::vector<LoraGradient>{{{0.5f}, {-3.0f}}}, 0.125);
    EXPECT_FLOAT_EQ(adapter.matrices[0].a[0], 1.0f - 0.125f);
    EXPECT_FLOAT_EQ(adapter.matrices[0].b[0], -2.0f + 0.125f);
    EXPECT_EQ(optimizer.state().n_steps, 1);
}

TEST(AdamW, FollowsTheMoments) {
    LoraAdapter adapter = one_value(0.0f, 0.0f);
    AdamW optimizer(adapter, {});
    double first = 0, second = 0, value = 0;
    int n = 0;
    for (const float g : {1.0f, -0.5f, 2.0f, 0.25f}) {
        optimizer.step(adapter, std::vector<LoraGradient>{{{g}, {0.0f}}}, 0.01);
        ++n;
        first = 0.9 * first + 0.1 * double{g};
        second = 0.999 * second + 0.001 * double{g} * double{g};
        value -= 0.01 * (first / (1 - std::pow(0.9, n))) / (std::sqrt(second / (1 - std::pow(0.999, n))) + 1e-8);
        EXPECT_NEAR(adapter.matrices[0].a[0], value, 1e-7);
        EXPECT_EQ(adapter.matrices[0].b[0], 0.0f);  // without a gradient nothing moves
    }
}

TEST(AdamW, DecaysApartFromTheGradient) {
    LoraAdapter adapter = one_value(4.0f, 0.0f);
    AdamW optimizer(adapter, {.weight_decay = 0.5});
    optimizer.step(adapter, std::vector<LoraGradient>{{{0.0f}, {0.0f}}}, 0.125);
    EXPECT_FLOAT_EQ(adapter.matrices[0].a[0], 4.0f * (1 - 0.125f * 0.5f));
}

}  // namespace
}  // namespace plasticity
