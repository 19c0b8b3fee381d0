#include "score/option_checks.h"

#include <gtest/gtest.h>

#include "core/error.h"
#include "core/ranks.h"
#include "engine/bf16_product.h"

namespace plasticity {
namespace {

/// This process, and another whose CPU has no instructions for BF16.
class BesideAnOlderProcessor : public Ranks {
public:
    int rank() const override { return 0; }
    int size() const override { return 2; }
    std::vector<std::vector<std::byte>> exchange(std::span<const std::byte> mine) override {
        return {{mine.begin(), mine.end()}, std::vector<std::byte>(mine.size())};
    }
};

ScoreOptions asking_for(std::string precision) {
    return {.precision = std::move(precision), .backend = {.device = "cpu"}};
}

TEST(ScoringPrecision, IsTheOneAskedFor) {
    EXPECT_EQ(resolve_precision(asking_for("f32")), WeightPrecision::kF32);
    EXPECT_EQ(resolve_precision(asking_for("f16")), WeightPrecision::kF16);
    EXPECT_EQ(resolve_precision(asking_for("bf16")), WeightPrecision::kBF16);
    EXPECT_THROW(resolve_precision(asking_for("stored")), Error);
    EXPECT_THROW(resolve_precision(asking_for("f8")), Error);
}

TEST(ScoringPrecision, IsBF16WhereTheProcessorMultipliesThat) {
    EXPECT_EQ(resolve_precision(asking_for("auto")),
              multiplies_bf16() ? WeightPrecision::kBF16 : WeightPrecision::kF16);
}

TEST(ScoringPrecision, IsTheSameForAllRanks) {
    BesideAnOlderProcessor ranks;
    ScoreOptions options = asking_for("auto");
    options.ranks = &ranks;
    EXPECT_EQ(resolve_precision(options), WeightPrecision::kF16);
    options.precision = "bf16";
    EXPECT_EQ(resolve_precision(options), WeightPrecision::kBF16);
}

}  // namespace
}  // namespace plasticity
