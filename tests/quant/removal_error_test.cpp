#include "quant/removal_error.h"

#include <gtest/gtest.h>

#include <cmath>
#include <random>

#include "core/error.h"
#include "quant/compensation.h"
#include "support/square_gram.h"

namespace plasticity {
namespace {

using test::square_gram;
using test::SquareGram;

constexpr std::int64_t kChannels = 6;

/// [n][kChannels]; channel 1 is channel 0 again, 2 and 3 depend on one another a little, 4 and 5 on nothing.
std::vector<double> inputs_of(std::size_t n) {
    std::mt19937 random(1);
    std::normal_distribution<double> normal;
    std::vector<double> inputs;
    for (std::size_t token = 0; token < n; ++token) {
        const double a = normal(random), b = normal(random);
        for (const double x : {a, a, b, 0.6 * b + normal(random), 2 * normal(random), normal(random)})
            inputs.push_back(x);
    }
    return inputs;
}

const std::vector<float> kWeights{0.3f, -1.2f, 0.5f, 2.0f, 0.9f, -0.4f, 1.0f, 0.2f, -0.7f, 0.1f, 0.4f, 0.8f};
const std::vector<double> kFactors{2, 0.5};

/// What the outputs err by on these inputs when columns are cut, or compensated as compress does it.
RemovalError::Sums measured(const std::vector<double>& inputs, const SquareGram& gram, std::int64_t first,
                            std::int64_t n) {
    std::vector<std::int64_t> kept;
    for (std::int64_t col = 0; col < kChannels; ++col)
        if (col < first || col >= first + n) kept.push_back(col);
    std::vector<float> compensated(kFactors.size() * kept.size());
    Compensation(gram.blocks(), kept).apply(kWeights, compensated);
    RemovalError::Sums sums;
    for (std::size_t row = 0; row < kFactors.size(); ++row)
        for (std::size_t token = 0; token < inputs.size(); token += kChannels) {
            double cut = 0, left = 0;
            for (std::size_t col = 0; col < kChannels; ++col)
                left += double{kWeights[row * kChannels + col]} * inputs[token + col];
            for (auto col = static_cast<std::size_t>(first); col < static_cast<std::size_t>(first + n); ++col)
                cut += double{kWeights[row * kChannels + col]} * inputs[token + col];
            for (std::size_t s = 0; s < kept.size(); ++s)
                left -= double{compensated[row * kept.size() + s]} * inputs[token + static_cast<std::size_t>(kept[s])];
            sums.cut += kFactors[row] * cut * cut;
            sums.compensated += kFactors[row] * left * left;
        }
    return sums;
}

TEST(RemovalError, IsWhatCompensationLeaves) {
    const auto inputs = inputs_of(400);
    const SquareGram gram = square_gram(inputs, kChannels);
    const RemovalError error(gram.blocks().read(0));
    for (const auto& [first, n] : {std::pair{2, 1}, {3, 1}, {2, 2}, {4, 1}, {3, 3}, {0, 2}}) {
        SCOPED_TRACE(testing::Message() << first << " and " << n);
        const RemovalError::Sums found = error.of(first, n, kWeights, kFactors),
                                 truth = measured(inputs, gram, first, n);
        EXPECT_NEAR(found.cut, truth.cut, 1e-4 * truth.cut);
        EXPECT_NEAR(found.compensated, truth.compensated, 0.02 * truth.cut) << "ridges differ a little";
    }
}

TEST(RemovalError, SeesWhoCouldTakeOver) {
    const RemovalError error(square_gram(inputs_of(400), kChannels).blocks().read(0));
    const auto share = [&](std::int64_t first, std::int64_t n) {
        const RemovalError::Sums sums = error.of(first, n, kWeights, kFactors);
        return sums.compensated / sums.cut;
    };
    EXPECT_LT(share(0, 1), 0.02) << "channel 1 is the same";
    EXPECT_LT(share(1, 1), 0.02);
    EXPECT_GT(share(0, 2), 0.95) << "nobody else knows either of them";
    EXPECT_GT(share(4, 1), 0.95);
    EXPECT_LT(share(3, 1), 0.9);
    EXPECT_GT(share(3, 1), 0.5);
}

TEST(RemovalError, OfInputsThatWereNeverSeenIsNothing) {
    const RemovalError error(GramBlock{.side = kChannels, .triangle = std::vector<float>(triangle_length(kChannels))});
    const RemovalError::Sums sums = error.of(1, 2, kWeights, kFactors);
    EXPECT_EQ(sums.cut, 0);
    EXPECT_EQ(sums.compensated, 0);
}

TEST(RemovalError, RefusesWhatIsNoGramMatrix) {
    SquareGram gram = square_gram(inputs_of(50), kChannels);
    gram.values[0 * kChannels + 2] = gram.values[2 * kChannels + 0] = 1e6f;
    EXPECT_THROW(RemovalError(gram.blocks().read(0)), Error);
}

}  // namespace
}  // namespace plasticity
