// Backpropagation through a network with adapters: every gradient against finite differences of the loss.

#include <gtest/gtest.h>

#include <cmath>

#include "engine/backpropagation.h"
#include "engine/engine_support.h"
#include "engine/sweep_support.h"
#include "support/random_adapter.h"

namespace plasticity {
namespace {

using test::quiet;
using test::scattered_tokens;

constexpr std::size_t kTrainedTokens = 24;

Example trained_example(std::size_t n_tokens) {
    return {.tokens = scattered_tokens(n_tokens), .targets = std::vector<std::uint8_t>(n_tokens, 1)};
}

struct LoraModel {
    std::string name;
    test::TinyModelOptions options;
};

class Lora : public testing::TestWithParam<LoraModel> {
protected:
    Backpropagation load(int threads = 1, WeightPrecision precision = WeightPrecision::kF32) {
        return {*open_model(test::write_tiny_gguf(dir_ / "tiny.gguf", GetParam().options)),
                {.precision = precision, .threads = threads},
                quiet()};
    }

    /// Loss of the network with dropout as training sees it.
    static double loss_of(Backpropagation& engine, const LoraAdapter& adapter, const LoraDropout& dropout) {
        std::vector<LoraGradient> unused = zero_gradients(adapter);
        return test::train(engine, trained_example(kTrainedTokens), {.gradients = unused}, dropout).loss;
    }

    /// The gradient of a half of a matrix along a direction, against a five-point stencil, whose error is of fourth
    /// order: steps may be large against the forward pass's F32 noise.
    void expect_exact(const LoraDropout& dropout) {
        auto engine = load();
        LoraAdapter adapter = test::random_adapter(engine.architecture());
        engine.use_adapter(&adapter);
        std::vector<LoraGradient> gradients = zero_gradients(adapter);
        test::train(engine, trained_example(kTrainedTokens), {.gradients = gradients}, dropout);
        for (std::size_t i = 0; i < adapter.matrices.size(); ++i) {
            const std::string name = gguf_name(adapter.matrices[i].id);
            expect_slope(engine, adapter, dropout, adapter.matrices[i].a, gradients[i].a, name + " A");
            expect_slope(engine, adapter, dropout, adapter.matrices[i].b, gradients[i].b, name + " B");
        }
    }

    static void expect_slope(Backpropagation& engine, const LoraAdapter& adapter, const LoraDropout& dropout,
                             std::vector<float>& values, const std::vector<float>& gradient, const std::string& what) {
        double norm = 0;
        for (const float g : gradient) norm += double{g} * double{g};
        norm = std::sqrt(norm);
        ASSERT_GT(norm, 1e-4) << what << " does nothing";
        const std::vector<float> before = values;
        const double step = 0.25 * std::min(1.0, 0.05 / norm);
        const auto loss_at = [&](double distance) {  // along the gradient itself: there the slope is its norm
            for (std::size_t k = 0; k < values.size(); ++k)
                values[k] = static_cast<float>(double{before[k]} + distance * double{gradient[k]} / norm);
            return loss_of(engine, adapter, dropout);
        };
        const double near = loss_at(step) - loss_at(-step), far = loss_at(2 * step) - loss_at(-2 * step);
        values = before;
        EXPECT_NEAR((8 * near - far) / (12 * step), norm, 3e-3 * norm) << what;
    }

    test::TempDir dir_;
};

TEST_P(Lora, GradientsAreSlopesOfTheLoss) {
    expect_exact({});
}

TEST_P(Lora, GradientsWithDropoutAreSlopesOfThatLoss) {
    expect_exact({.probability = 0.3f, .seed = 5});
}

TEST_P(Lora, GatesAreSlopesOfTheAdaptedNetwork) {
    auto engine = load();
    const LoraAdapter adapter = test::random_adapter(engine.architecture());
    const Example example = trained_example(kTrainedTokens);
    const auto base = engine.run(example, {}).gates;
    engine.use_adapter(&adapter);
    const auto adapted = engine.run(example, {}).gates;
    EXPECT_NE(adapted, base);
    std::vector<std::vector<float>> gates;
    for (const auto& layer : adapted) gates.emplace_back(layer.size(), 1.0f);
    constexpr float kStep = 1.0f / 64;  // these adapters bend the loss more than gates of the tiny models do
    for (std::size_t layer = 0; layer < gates.size(); ++layer)
        for (std::size_t head = 0; head < gates[layer].size(); ++head) {
            const auto loss_at = [&](float offset) {
                gates[layer][head] = 1.0f + offset;
                return engine.loss(example, gates);
            };
            const double near = loss_at(kStep) - loss_at(-kStep), far = loss_at(2 * kStep) - loss_at(-2 * kStep);
            gates[layer][head] = 1.0f;
            EXPECT_NEAR(adapted[layer][head], (8 * near - far) / (12 * double{kStep}), 5e-5) << layer << " " << head;
        }
}

TEST_P(Lora, DoesNotDependOnThreads) {
    auto one = load(1, WeightPrecision::kF16), two = load(2, WeightPrecision::kF16);
    const LoraAdapter adapter = test::random_adapter(one.architecture());
    const auto gradients_of = [&](Backpropagation& engine) {
        engine.use_adapter(&adapter);
        std::vector<LoraGradient> gradients = zero_gradients(adapter);
        test::train(engine, trained_example(67), {.gradients = gradients}, {.probability = 0.1f, .seed = 1});
        return gradients;
    };
    const auto a = gradients_of(one), b = gradients_of(two);
    for (std::size_t i = 0; i < a.size(); ++i) {
        EXPECT_EQ(a[i].a, b[i].a) << i;
        EXPECT_EQ(a[i].b, b[i].b) << i;
    }
}

INSTANTIATE_TEST_SUITE_P(
    Families, Lora,
    testing::Values(LoraModel{"llama", {}}, LoraModel{"qwen2", {.architecture = "qwen2", .tied = false}},
                    LoraModel{"deci", {.architecture = "deci", .layers = {{4, 2, 48}, {0, 0, 32}, {3, 1, 40}}}}),
    [](const auto& family) { return family.param.name; });

class LoraOfALlama : public testing::Test {
protected:
    LoraOfALlama()
        : engine_(*open_model(test::write_tiny_gguf(dir_ / "tiny.gguf")),
                  {.precision = WeightPrecision::kF32, .threads = 1}, quiet()) {}

    test::TempDir dir_;
    Backpropagation engine_;
};

TEST_F(LoraOfALlama, WithZerosInBChangesNothing) {
    LoraAdapter adapter = test::random_adapter(engine_.architecture());
    for (LoraMatrix& matrix : adapter.matrices) matrix.b.assign(matrix.b.size(), 0.0f);
    const Example example = trained_example(kTrainedTokens);
    const ExampleGradients base = engine_.run(example, {});
    engine_.use_adapter(&adapter);
    const ExampleGradients adapted = engine_.run(example, {});
    EXPECT_EQ(adapted.loss, base.loss);
    EXPECT_EQ(adapted.gates, base.gates);
    const Visit visit{.example = &example};
    EXPECT_EQ(engine_.losses(std::span(&visit, 1)), std::vector{base.loss});
    engine_.use_adapter(nullptr);
    EXPECT_EQ(engine_.run(example, {}).loss, base.loss);
}

TEST_F(LoraOfALlama, WeighsExamplesAndAddsThemUp) {
    const LoraAdapter adapter = test::random_adapter(engine_.architecture());
    engine_.use_adapter(&adapter);
    const auto gradients_of = [&](std::initializer_list<double> weights) {
        std::vector<LoraGradient> gradients = zero_gradients(adapter);
        for (const double weight : weights)
            test::train(engine_, trained_example(kTrainedTokens), {.gradients = gradients, .weight = weight});
        return gradients;
    };
    const auto once = gradients_of({1.0}), split = gradients_of({0.25, 0.75});
    for (std::size_t i = 0; i < once.size(); ++i)
        for (std::size_t k = 0; k < once[i].b.size(); ++k)
            EXPECT_NEAR(split[i].b[k], once[i].b[k], 1e-6 * std::fabs(once[i].b[k]) + 1e-9);
}

}  // namespace
}  // namespace plasticity
