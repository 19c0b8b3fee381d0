#include "score/gram_collector.h"

#include <gtest/gtest.h>

#include <array>
#include <cmath>
#include <fstream>
#include <map>

#include "artifact/gate_gradients.h"
#include "core/error.h"
#include "engine/backpropagation.h"
#include "engine/sweep_support.h"
#include "plasticity/score.h"
#include "score/score_support.h"
#include "support/expect_error.h"
#include "support/file_content.h"
#include "support/square_gram.h"

namespace plasticity {
namespace {

namespace fs = std::filesystem;
using test::quiet;

class GramCollection : public testing::Test {
protected:
    GramCollection() {
        test::write_tiny_gguf(model_, {.architecture = "deci", .layers = {{4, 2, 48}, {0, 0, 32}}});
        std::ofstream(data_) << "{\"text\": \"the inner ring, in the water, the outer ring\"}\n";
    }

    ScoreOptions options(const std::string& name, int threads = 1) const {
        return {.model = model_,
                .data = {data_},
                .gram = dir_ / name,
                .chunk = 8,
                .precision = "f32",
                .curvature_every = 1,
                .threads = threads};
    }

    test::TempDir dir_;
    fs::path model_ = dir_ / "model.gguf", data_ = dir_ / "data.jsonl";
};

TEST_F(GramCollection, HoldsEveryInputAndDoesNotDependOnThreads) {
    score(options("one.gguf"), quiet());
    score(options("two.gguf", 2), quiet());
    EXPECT_EQ(test::read_bytes(dir_ / "one.gguf"), test::read_bytes(dir_ / "two.gguf"));
    const GramFile file(dir_ / "one.gguf");
    std::map<std::string, std::int64_t> widths;
    for (const GramInput& input : file.header().inputs) widths[input.matrix] = input.width;
    EXPECT_EQ(widths, (std::map<std::string, std::int64_t>{{"blk.0.attn_q.weight", 32},
                                                           {"blk.0.attn_output.weight", 32},
                                                           {"blk.0.ffn_gate.weight", 32},
                                                           {"blk.0.ffn_down.weight", 48},
                                                           {"blk.1.ffn_gate.weight", 32},
                                                           {"blk.1.ffn_down.weight", 32},
                                                           {"token_embd.weight", 32}}));
    EXPECT_EQ(file.header().weighting, "gradient");
    EXPECT_EQ(file.header().n_tokens % 8, 0);
    EXPECT_EQ(file.header().model_sha256.size(), 64u);
}

/// Against sums in double over what the engine shows, with a buffer that is full after every call, and one that is
/// never.
TEST_F(GramCollection, SumsWhatTheEngineShowsHoweverOftenTheBufferIsFull) {
    const Example example{.tokens = {1, 2, 3, 40, 50, 6}, .targets = {1, 1, 1, 1, 1, 1}};
    Backpropagation engine(*open_model(model_), {.precision = WeightPrecision::kF32, .threads = 1}, quiet());
    GramHeader header{.inputs = gram_inputs(engine.architecture(), quiet()), .weighting = "gradient"};
    std::map<std::string, std::vector<double>> expected;
    for (const std::uint64_t buffer_bytes : {std::uint64_t{1}, kGramBufferBytes}) {
        GramCollector collector(
            header,
            {.target = dir_ / "g.gguf", .overwrite = Overwrite::kReplace, .threads = 1, .buffer_bytes = buffer_bytes});
        expected.clear();
        for (const std::uint64_t seed : {1, 2}) {
            test::observe_curvature(engine, example, seed,
                                    {.matrix = [](const MatrixCurvature&) {},
                                     .gates = [](const GateSlopes&) {},
                                     .inputs =
                                         [&](const WeighedInputs& seen) {
                                             collector.add(seen);
                                             const auto n = static_cast<std::size_t>(seen.channels);
                                             auto& sums = expected[gguf_name(seen.matrices.front())];
                                             sums.resize(n * n);
                                             for (std::size_t t = 0; t < seen.energies.size(); ++t)
                                                 for (std::size_t i = 0; i < n * n; ++i)
                                                     sums[i] += seen.energies[t] * double{seen.rows[t * n + i / n]} *
                                                                double{seen.rows[t * n + i % n]};
                                         }});
        }
        collector.add_tokens(12);
        collector.finish();
        const GramFile file(dir_ / "g.gguf");
        ASSERT_EQ(file.header().inputs.size(), expected.size());
        for (const auto& [name, sums] : expected) {
            const test::SquareGram found = test::squares_of(file, name.c_str());
            ASSERT_EQ(found.values.size(), sums.size());
            double trace = 0;
            for (std::size_t i = 0; i < sums.size(); i += static_cast<std::size_t>(found.width) + 1) trace += sums[i];
            EXPECT_GT(trace, 0) << name;
            for (std::size_t i = 0; i < sums.size(); ++i)  // products and sums of F32: 2⁻²⁴ each, few of them
                ASSERT_NEAR(found.values[i], sums[i], 1e-6 * trace) << name << " " << i;
        }
    }
}

/// The energies are those of the curvature: Σ over tokens of energy is Σ over tokens of ‖∂L/∂output‖², for a single
/// token with a single target the squares of ∂L/∂W = g xᵀ sum to energy · ‖x‖².
TEST_F(GramCollection, WeighsByTheEnergyOfTheOutputsGradients) {
    const Example example{.tokens = {1, 2}, .targets = {0, 1}};
    Backpropagation engine(*open_model(model_), {.precision = WeightPrecision::kF32, .threads = 1}, quiet());
    std::map<std::string, double> from_weights, from_inputs;
    test::observe_curvature(
        engine, example, 3,
        {.matrix =
             [&](const MatrixCurvature& seen) {
                 for (const double sum : seen.rows) from_weights[gguf_name(seen.matrix)] += sum;
             },
         .gates = [](const GateSlopes&) {},
         .inputs =
             [&](const WeighedInputs& seen) {
                 for (std::size_t t = 0; t < seen.energies.size(); ++t)
                     for (std::int64_t c = 0; c < seen.channels; ++c) {
                         const double x =
                             seen.rows[t * static_cast<std::size_t>(seen.channels) + static_cast<std::size_t>(c)];
                         from_inputs[gguf_name(seen.matrices.front())] += seen.energies[t] * x * x;
                     }
             }});
    // Only the first token's outputs matter to block 1, and nothing mixes tokens after it.
    EXPECT_NEAR(from_inputs.at("blk.1.ffn_down.weight") / from_weights.at("blk.1.ffn_down.weight"), 1, 1e-5);
    EXPECT_NEAR(from_inputs.at("blk.1.ffn_gate.weight") /
                    (from_weights.at("blk.1.ffn_gate.weight") + from_weights.at("blk.1.ffn_up.weight")),
                1, 1e-5);
}

TEST_F(GramCollection, RefusesWhatItCannotDo) {
    const auto expect_usage = [](const ScoreOptions& wanted) {
        test::expect_error(ErrorKind::kUsage, {}, [&] { score(wanted, quiet()); });
    };
    ScoreOptions without_curvature = options("g.gguf");
    without_curvature.curvature_every = 0;
    expect_usage(without_curvature);
    ScoreOptions resumed = options("g.gguf");
    resumed.resume = true;
    expect_usage(resumed);
    std::ofstream(dir_ / "there.gguf") << "something";
    expect_usage(options("there.gguf"));
    EXPECT_EQ(test::read_bytes(dir_ / "there.gguf"), "something");
}

TEST_F(GramCollection, KeepsNoCheckpointAndLeavesNoTemporaries) {
    ScoreOptions wanted = options("g.gguf");
    wanted.checkpoint = dir_ / "checkpoint";
    wanted.checkpoint_every = 1;
    score(wanted, quiet());
    EXPECT_FALSE(fs::exists(dir_ / "checkpoint"));
    EXPECT_EQ(std::distance(fs::directory_iterator(dir_ / "."), {}), 3);  // model, data, Gram matrices
}

}  // namespace
}  // namespace plasticity
