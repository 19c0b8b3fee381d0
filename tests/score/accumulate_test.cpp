#include "score/accumulate.h"

#include <gtest/gtest.h>

#include <array>
#include <limits>

#include "core/error.h"
#include "score/score_support.h"

namespace plasticity {
namespace {

const Example kExample{.tokens = {1, 2, 3}, .targets = {1, 1, 1}};

GateGradients empty() {
    return empty_gate_gradients(
        test::tiny_architecture({.architecture = "deci", .layers = {{2, 1, 8}, {0, 0, 8}, {4, 2, 8}}}));
}

TEST(Accumulate, StartsFromRowsAsLongAsLayersHaveHeads) {
    const GateGradients gradients = empty();
    ASSERT_EQ(gradients.absolute_sums.size(), 3u);
    EXPECT_EQ(gradients.absolute_sums[1].size(), 0u);
    EXPECT_EQ(gradients.signed_sums[2].size(), 4u);
    EXPECT_EQ(gradients.num_heads, 4);
    EXPECT_EQ(gradients.num_kv_heads, 2);
    EXPECT_EQ(gradients.layer_kv_heads, (std::vector<std::int32_t>{1, 0, 2}));
}

TEST(Accumulate, SumsAbsoluteAndSignedGradients) {
    GateGradients gradients = empty();
    add_example(gradients, kExample, {.loss = 2, .gates = {{0.5, -1}, {}, {0, 0, 0, 0}}});
    add_example(gradients, kExample, {.loss = 4, .gates = {{-0.25, -1}, {}, {0, 0, 0, 1}}});
    EXPECT_EQ(gradients.absolute_sums[0], (std::vector<double>{0.75, 2}));
    EXPECT_EQ(gradients.signed_sums[0], (std::vector<double>{0.25, -2}));
    EXPECT_EQ(gradients.absolute_sums[2], (std::vector<double>{0, 0, 0, 1}));
    EXPECT_EQ(gradients.num_steps, 2);
    EXPECT_EQ(gradients.num_tokens, 4);  // targets: the first token of an example is none
    EXPECT_DOUBLE_EQ(gradients.mean_loss, 3);
}

TEST(Accumulate, MovingAverageStartsAtTheFirstExample) {
    GateGradients gradients = empty();
    const auto add = [&](double g) { add_example(gradients, kExample, {.gates = {{g, 0}, {}, {0, 0, 0, 0}}}); };
    add(-2);
    EXPECT_DOUBLE_EQ(gradients.moving_averages[0][0], 2);
    add(1);
    EXPECT_DOUBLE_EQ(gradients.moving_averages[0][0], 0.9 * 2 + 0.1 * 1);
    add(0);
    EXPECT_DOUBLE_EQ(gradients.moving_averages[0][0], 0.9 * 1.9);
}

TEST(Accumulate, RefusesGradientsThatAreNoNumbers) {
    for (const double bad : {std::numeric_limits<double>::quiet_NaN(), std::numeric_limits<double>::infinity()}) {
        GateGradients gradients = empty();
        try {
            add_example(gradients, kExample, {.gates = {{0, 0}, {}, {0, 0, bad, 0}}});
            ADD_FAILURE() << "accepted";
        } catch (const Error& error) {
            EXPECT_EQ(error.kind(), ErrorKind::kMalformed);
            EXPECT_NE(std::string_view(error.what()).find("layer 2, head 2"), std::string_view::npos) << error.what();
        }
    }
}

TEST(Accumulate, SquaresOfActivationsPerChannel) {
    Statistics statistics;
    const std::array<float, 6> rows{1, 2, 3, -4, 0, 1};  // two tokens of three channels
    const std::array matrices{TensorId{TensorRole::kQuery, 0}, TensorId{TensorRole::kKey, 0}};
    add_activations(statistics, matrices, rows, 3);
    add_activations(statistics, matrices, std::span(rows).first(3), 3);
    ASSERT_EQ(statistics.matrices.size(), 2u);
    for (const char* name : {"blk.0.attn_q.weight", "blk.0.attn_k.weight"}) {
        EXPECT_EQ(statistics.find(name)->sum_of_squares, (std::vector<double>{1 + 16 + 1, 4 + 0 + 4, 9 + 1 + 9}))
            << name;
        EXPECT_EQ(statistics.find(name)->count, 3) << name;
    }
}

TEST(AccumulateCurvature, SumsRowsAndColumnsAndKeepsTheLookupApart) {
    Statistics statistics;
    const std::array rows{1.0, 0.0, 3.0};
    const std::array columns{1.5, 2.5};
    MatrixCurvature seen{.matrix = {TensorRole::kTokenEmbedding}, .rows = rows, .columns = columns};
    seen.n_targets = 7;
    add_curvature(statistics, seen);
    seen.n_targets = 9;
    add_curvature(statistics, seen);
    seen.is_lookup = true;
    seen.n_targets = 7;
    add_curvature(statistics, seen);
    ASSERT_EQ(statistics.curvature.size(), 2u);
    const CurvatureStatistics& output = statistics.curvature.at("token_embd.weight");
    EXPECT_EQ(output.rows, (std::vector<double>{2, 0, 6}));
    EXPECT_EQ(output.columns, (std::vector<double>{3, 5}));
    EXPECT_EQ(output.count, 16);
    EXPECT_EQ(statistics.curvature.at(lookup_key("token_embd.weight")).rows, (std::vector<double>{1, 0, 3}));
}

TEST(AccumulateCurvature, SquaresTheGatesOfEverySequence) {
    Statistics statistics;
    const TensorId output{TensorRole::kAttentionOutput, 2};
    add_curvature(statistics, GateSlopes{.matrix = output, .slopes = std::array{3.0, -1.0}});
    add_curvature(statistics, GateSlopes{.matrix = output, .slopes = std::array{1.0, 2.0}});
    add_curvature(statistics, GateSlopes{.matrix = {TensorRole::kDown, 2}, .slopes = std::array{-5.0}});
    add_curvature(statistics, GateSlopes{.matrix = {TensorRole::kAttentionOutput, 0}, .slopes = {}});
    ASSERT_EQ(statistics.curvature.size(), 2u);  // a block without attention has no gates
    EXPECT_EQ(statistics.curvature.at("blk.2.ffn_down.weight").gates, (std::vector<double>{25}));
    EXPECT_EQ(statistics.curvature.at("blk.2.attn_output.weight").gates, (std::vector<double>{10, 5}));
}

}  // namespace
}  // namespace plasticity
