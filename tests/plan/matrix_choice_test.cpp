#include "plan/matrix_choice.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <random>

#include "plan/synthetic_model.h"

namespace plasticity {
namespace {

using test::shape;
using test::SyntheticModel;

const MatrixChoice& of(const std::vector<MatrixChoice>& choices, const TensorId& id) {
    return *std::ranges::find(choices, id, &MatrixChoice::id);
}

PlanGoal goal_for_device() {
    PlanGoal goal;
    goal.device = Device{"box", 1000, 0};
    return goal;
}

/// The recorded errors, measured again: planning is only as good as these.
TEST(RelativeError, IsWhatTheQuantisersLeave) {
    constexpr std::int64_t kCols = 1024, kRows = 64;
    std::mt19937 random(7);
    std::normal_distribution<float> normal;
    std::vector<float> weights(kCols * kRows), importance(kCols), back(kCols * kRows);
    for (float& weight : weights) weight = normal(random);
    for (float& value : importance) value = std::pow(normal(random), 2.0f) + 0.1f;

    for (const ggml_type type :
         {GGML_TYPE_F16, GGML_TYPE_Q8_0, GGML_TYPE_Q6_K, GGML_TYPE_Q5_1, GGML_TYPE_Q5_0, GGML_TYPE_Q5_K, GGML_TYPE_Q4_1,
          GGML_TYPE_Q4_K, GGML_TYPE_IQ4_NL, GGML_TYPE_IQ4_XS, GGML_TYPE_Q3_K, GGML_TYPE_Q2_K}) {
        std::vector<std::byte> stored(ggml_row_size(type, kCols) * kRows);
        ggml_quantize_chunk(type, weights.data(), stored.data(), 0, kRows, kCols, importance.data());
        ggml_get_type_traits(type)->to_float(stored.data(), back.data(), kCols * kRows);
        double error = 0, power = 0;
        for (std::size_t i = 0; i < weights.size(); ++i) {
            const double factor = importance[i % kCols];
            error += factor * std::pow(double{weights[i]} - double{back[i]}, 2.0);
            power += factor * std::pow(double{weights[i]}, 2.0);
        }
        // Another draw of the same distribution: a tenth is plenty, and less than any two neighbours differ but the
        // 4-bit ones.
        EXPECT_NEAR(relative_error(type) / (error / power), 1, 0.1) << ggml_type_name(type);
    }
}

TEST(PredictedDamage, IsSensitivityTimesParametersTimesError) {
    EXPECT_DOUBLE_EQ(predicted_damage(2, 1000, GGML_TYPE_Q3_K), 2000 * relative_error(GGML_TYPE_Q3_K));
    EXPECT_DOUBLE_EQ(predicted_damage(1, 1, GGML_TYPE_Q4_0), std::exp2(-9.0));  // not measured: 4.5 bits
    EXPECT_GT(role_sensitivity(TensorRole::kValue), role_sensitivity(TensorRole::kQuery));
    EXPECT_LT(role_sensitivity(TensorRole::kGate), role_sensitivity(TensorRole::kDown));
    EXPECT_LT(score_sensitivity(0.1), score_sensitivity(0.9));
}

TEST(StartChoices, TakeTiersFromKeptHeadsAndWholeLayers) {
    // Kept after pruning: the heads at .8; over the whole layer the mean is .4.
    const SyntheticModel model(shape({.n_layer = 1}));
    HeadPruning heads(model.architecture(), {{.8, 0, .8, 0, .8, 0, .8, 0}});
    heads.prune_by_tiers();
    const auto choices = start_choices(model, heads, goal_for_device());
    const MatrixChoice& query = of(choices, {TensorRole::kQuery, 0});
    EXPECT_EQ(query.tier, Tier::kHigh);
    EXPECT_DOUBLE_EQ(query.mean_score, .8);
    EXPECT_EQ(query.type(), GGML_TYPE_Q6_K);
    EXPECT_EQ(query.rows, 4 * 64);
    const MatrixChoice& gate = of(choices, {TensorRole::kGate, 0});
    EXPECT_EQ(gate.tier, Tier::kLow);
    EXPECT_EQ(gate.type(), GGML_TYPE_Q4_K);
    EXPECT_EQ(of(choices, {TensorRole::kTokenEmbedding}).type(), GGML_TYPE_Q6_K);
    EXPECT_EQ(choices.size(), 8u);
}

TEST(StartChoices, FollowTheOutputsRowLength) {
    const SyntheticModel model(shape({.n_layer = 1}));
    HeadPruning heads(model.architecture(), {{.8, .8, .8, .8, .8, .8, .01, .01}});
    heads.prune_by_tiers();  // three groups of two: o has 384 columns, which is no multiple of 256
    const auto choices = start_choices(model, heads, goal_for_device());
    EXPECT_EQ(of(choices, {TensorRole::kAttentionOutput, 0}).cols, 384);
    EXPECT_EQ(of(choices, {TensorRole::kAttentionOutput, 0}).type(), GGML_TYPE_Q8_0);
    EXPECT_EQ(of(choices, {TensorRole::kQuery, 0}).type(), GGML_TYPE_Q6_K);
}

TEST(StartChoices, OverridesWin) {
    const SyntheticModel model(shape({.n_layer = 2}));
    const HeadPruning heads(model.architecture(), test::mixed_scores(model.architecture()));
    PlanGoal goal = goal_for_device();
    goal.overrides.push_back({NamePattern("blk\\.1\\.ffn_.*"), GGML_TYPE_Q2_K});
    const auto choices = start_choices(model, heads, goal);
    EXPECT_EQ(of(choices, {TensorRole::kGate, 1}).ladder, (std::vector<ggml_type>{GGML_TYPE_Q2_K}));
    EXPECT_GT(of(choices, {TensorRole::kGate, 0}).ladder.size(), 1u);
}

TEST(PrunedShape, CutsBiasesAndLeavesTheRest) {
    const SyntheticModel model(shape({.n_layer = 1}), true);
    HeadPruning heads(model.architecture(), {{.8, 0, .8, 0, .8, 0, .8, 0}});
    heads.prune_by_tiers();
    const auto shape_of = [&](const TensorId& id) { return pruned_shape(model.require(id), heads, 64); };
    EXPECT_EQ(shape_of({TensorRole::kQuery, 0, true}).cols, 256);
    EXPECT_EQ(shape_of({TensorRole::kKey, 0}).rows, 256);
    EXPECT_EQ(shape_of({TensorRole::kAttentionOutput, 0}).cols, 256);
    EXPECT_EQ(shape_of({TensorRole::kAttentionNorm, 0}).cols, 512);
    EXPECT_EQ(shape_of({TensorRole::kDown, 0}).cols, 1024);
}

}  // namespace
}  // namespace plasticity
