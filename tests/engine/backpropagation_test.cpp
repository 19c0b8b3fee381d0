#include "engine/backpropagation.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <span>

#include "core/error.h"
#include "engine/bf16_product.h"
#include "engine/engine_support.h"
#include "engine/evaluate.h"

namespace plasticity {
namespace {

using test::quiet;
using test::scattered_tokens;
using Gates = std::vector<std::vector<float>>;

constexpr std::size_t kTokens = 24;

Example example_of(std::size_t n_tokens) {
    return {.tokens = scattered_tokens(n_tokens), .targets = std::vector<std::uint8_t>(n_tokens, 1)};
}

Gates open_gates(const Architecture& architecture) {
    Gates gates;
    for (const LayerGeometry& layer : architecture.layers)
        gates.emplace_back(static_cast<std::size_t>(layer.n_head), 1.0f);
    return gates;
}

/// ∂loss/∂gate by a five-point stencil, whose error is of fourth order: with steps this large the F32 forward pass's
/// noise (some 1e-7 of the loss) is small against the differences.
double slope(Backpropagation& engine, const Example& example, Gates gates, std::size_t layer, std::size_t head) {
    constexpr float kStep = 1.0f / 16;
    const auto loss_at = [&](float offset) {
        gates[layer][head] = 1.0f + offset;
        return engine.loss(example, gates);
    };
    const double near = loss_at(kStep) - loss_at(-kStep), far = loss_at(2 * kStep) - loss_at(-2 * kStep);
    return (8 * near - far) / (12 * static_cast<double>(kStep));
}

void expect_exact_gradients(Backpropagation& engine, const Example& example) {
    const Gates gates = open_gates(engine.architecture());
    const ExampleGradients result = engine.run(example, {});
    EXPECT_NEAR(result.loss, engine.loss(example, gates), 1e-6);
    ASSERT_EQ(result.gates.size(), gates.size());
    for (std::size_t layer = 0; layer < gates.size(); ++layer) {
        ASSERT_EQ(result.gates[layer].size(), gates[layer].size());
        double largest = 0;
        for (const double gradient : result.gates[layer]) largest = std::max(largest, std::fabs(gradient));
        for (std::size_t head = 0; head < gates[layer].size(); ++head)
            EXPECT_NEAR(result.gates[layer][head], slope(engine, example, gates, layer, head), 1e-3 * largest)
                << "layer " << layer << ", head " << head;
        EXPECT_TRUE(gates[layer].empty() || largest > 1e-4) << "layer " << layer << " does nothing";
    }
}

struct Family {
    std::string name;
    test::TinyModelOptions options;
};

class GateGradients : public testing::TestWithParam<Family> {
protected:
    Backpropagation load(int threads = 1, WeightPrecision precision = WeightPrecision::kF32) {
        return {*open_model(test::write_tiny_gguf(dir_ / "tiny.gguf", GetParam().options)),
                {.precision = precision, .threads = threads},
                quiet()};
    }

    void expect_the_same_however_little_memory_there_is(WeightPrecision precision);

    test::TempDir dir_;
};

TEST_P(GateGradients, AreSlopesOfTheLoss) {
    auto engine = load();
    expect_exact_gradients(engine, example_of(kTokens));
}

TEST_P(GateGradients, OfAFewTargetsAreSlopesOfTheirLoss) {
    auto engine = load();
    Example example = example_of(kTokens);
    for (std::size_t i = 0; i < kTokens; ++i) example.targets[i] = i >= 10 && i % 3 == 0;
    ASSERT_EQ(example.n_targets(), 4);
    expect_exact_gradients(engine, example);
}

TEST_P(GateGradients, DoNotDependOnThreads) {
    const Example example = example_of(67);
    auto one = load(1, WeightPrecision::kF16), two = load(2, WeightPrecision::kF16);
    const ExampleGradients a = one.run(example, {}), b = two.run(example, {});
    EXPECT_EQ(a.loss, b.loss);
    EXPECT_EQ(a.gates, b.gates);
    EXPECT_EQ(two.run(example, {}).gates, a.gates);  // nor on what ran before
}

/// Forward passes of training and of generation are built from the same parts, but attend by different kernels, and
/// the decoder rounds keys and values to F16 (11 bits): the mean over positions agrees far closer than one of them.
TEST_P(GateGradients, LossIsWhatTheDecoderSays) {
    const Example example = example_of(40);
    auto engine = load();
    Decoder decoder(*open_model(dir_ / "tiny.gguf"), {.context_length = 64}, quiet());
    const auto rows = test::logits_of(decoder, example.tokens, 64);
    double nll = 0;
    for (std::size_t i = 0; i + 1 < example.tokens.size(); ++i) nll -= log_softmax_at(rows[i], example.tokens[i + 1]);
    EXPECT_NEAR(engine.run(example, {}).loss, nll / 39, 1e-3);
}

/// Everything that a sweep shows of one thing, in the order in which it was shown.
using Shown = std::map<std::string, std::vector<double>>;

struct SweepRecord {
    std::vector<ExampleGradients> results;
    Shown shown;
};

SweepRecord record_of(Backpropagation& engine, std::span<const Visit> visits, std::size_t group) {
    SweepRecord record;
    const auto append = [&](const std::string& key, const auto& values) {
        record.shown[key].insert(record.shown[key].end(), values.begin(), values.end());
    };
    const SweepObservers observers{
        .activations =
            [&](std::span<const TensorId> matrices, std::span<const float> rows, std::int64_t) {
                for (const TensorId& id : matrices) append("rows of " + gguf_name(id), rows);
            },
        .curvature = {
            .matrix =
                [&](const MatrixCurvature& seen) {
                    const std::string name = gguf_name(seen.matrix) + (seen.is_lookup ? " looked up" : "");
                    append("curvature of " + name, seen.rows);
                    append("curvature of " + name, seen.columns);
                },
            .gates = [&](const GateSlopes& seen) { append("slopes of " + gguf_name(seen.matrix), seen.slopes); }},
        .progressed = {}};
    for (std::size_t first = 0; first < visits.size(); first += group) {
        auto results = engine.sweep(visits.subspan(first, std::min(group, visits.size() - first)), observers);
        record.results.insert(record.results.end(), results.begin(), results.end());
    }
    return record;
}

/// What matrices read in a forward pass.
Shown rows_seen(Backpropagation& engine, std::span<const Example> examples) {
    Shown shown;
    double done = 0;
    const auto append = [&](std::span<const TensorId> matrices, std::span<const float> rows, std::int64_t) {
        for (const TensorId& id : matrices) {
            auto& seen = shown["rows of " + gguf_name(id)];
            seen.insert(seen.end(), rows.begin(), rows.end());
        }
    };
    engine.observe(examples, append, [&](double share) {
        EXPECT_GT(share, done);
        done = share;
    });
    EXPECT_DOUBLE_EQ(done, 1.0);
    return shown;
}

/// What it takes to hold all weights: nothing is left for the activations of all blocks. With a byte less, parts of the
/// weights come and go, and most activations between blocks lie in a file.
std::uint64_t bytes_for_weights(const Model& model, WeightPrecision precision) {
    const bool reads_across = precision == WeightPrecision::kBF16 && multiplies_bf16();
    const ScoringMemory all =
        plan_scoring_memory(model, {},
                            {.precision = precision,
                             .backward = reads_across ? BackwardMatrices::kSame : BackwardMatrices::kTransposed,
                             .longest_example = 70});
    return all.weights + all.working + 70 * all.stash_per_token;
}

void GateGradients::expect_the_same_however_little_memory_there_is(WeightPrecision precision) {
    const std::vector<Example> examples{example_of(67), example_of(31), example_of(48)};
    std::vector<Visit> visits;
    for (const Example& example : examples) visits.push_back({.example = &example, .is_observed = visits.size() != 1});
    visits[0].curvature_seed = 3;
    visits[2].curvature_seed = 4;
    auto keeping = load(2, precision);
    const SweepRecord expected = record_of(keeping, visits, 1);
    EXPECT_EQ(expected.results.size(), 3u);
    const std::vector<Visit> held_out{{.example = &examples[0]}, {.example = &examples[1]}};
    const std::vector<double> expected_losses = keeping.losses(held_out);
    const std::vector<Example> observed{examples[0], examples[2]};
    const Shown expected_rows = rows_seen(keeping, observed);
    for (const auto& [name, rows] : expected_rows) EXPECT_EQ(rows, expected.shown.at(name)) << name;
    const auto model = open_model(dir_ / "tiny.gguf");
    for (const std::uint64_t missing_bytes : {0u, 1u}) {
        Backpropagation limited(*model,
                                {.precision = precision,
                                 .threads = 2,
                                 .longest_example = 70,
                                 .memory_limit = bytes_for_weights(*model, precision) - missing_bytes,
                                 .spill_folder = dir_ / ""},
                                quiet());
        for (const std::size_t group : {1u, 2u, 3u}) {
            const SweepRecord found = record_of(limited, visits, group);
            ASSERT_EQ(found.results.size(), 3u);
            for (std::size_t i = 0; i < 3; ++i) {
                EXPECT_EQ(found.results[i].loss, expected.results[i].loss) << missing_bytes << " " << group;
                EXPECT_EQ(found.results[i].gates, expected.results[i].gates) << missing_bytes << " " << group;
            }
            EXPECT_EQ(found.shown, expected.shown) << missing_bytes << " " << group;
        }
        EXPECT_EQ(limited.losses(held_out), expected_losses);
        EXPECT_EQ(rows_seen(limited, observed), expected_rows);
    }
    EXPECT_EQ(record_of(keeping, visits, 3).shown, expected.shown);
}

TEST_P(GateGradients, AreTheSameToTheBitHoweverLittleMemoryThereIs) {
    expect_the_same_however_little_memory_there_is(WeightPrecision::kF16);
}

/// Where the CPU has instructions for it, matrices are held in one order.
TEST_P(GateGradients, InBF16AreTheSameToTheBitHoweverLittleMemoryThereIs) {
    expect_the_same_however_little_memory_there_is(WeightPrecision::kBF16);
}

TEST_P(GateGradients, InBF16AreCloseToThoseInF32) {
    const Example example = example_of(67);
    auto exact = load(1), rounded = load(2, WeightPrecision::kBF16);
    const ExampleGradients a = exact.run(example, {}), b = rounded.run(example, {});
    EXPECT_NEAR(b.loss, a.loss, 1e-2);
    double largest = 0;
    for (const auto& layer : a.gates)
        for (const double gate : layer) largest = std::max(largest, std::fabs(gate));
    ASSERT_EQ(a.gates.size(), b.gates.size());
    for (std::size_t layer = 0; layer < a.gates.size(); ++layer)
        for (std::size_t head = 0; head < a.gates[layer].size(); ++head)
            EXPECT_NEAR(b.gates[layer][head], a.gates[layer][head], 0.05 * largest) << layer << " " << head;
}

INSTANTIATE_TEST_SUITE_P(
    Families, GateGradients,
    testing::Values(
        Family{"llama", {}}, Family{"llama_untied_without_groups", {.n_head_kv = 4, .tied = false}},
        Family{"qwen2", {.architecture = "qwen2", .n_layer = 3}},
        Family{"deci", {.architecture = "deci", .layers = {{4, 2, 48}, {0, 0, 32}, {3, 1, 40}, {2, 2, 64}}}},
        Family{"deci_with_biases", {.architecture = "deci", .layers = {{0, 0, 32}, {6, 2, 48}}, .qkv_biases = 1}}),
    [](const auto& family) { return family.param.name; });

class BackpropagationOfALlama : public testing::Test {
protected:
    BackpropagationOfALlama()
        : engine_(*open_model(test::write_tiny_gguf(dir_ / "tiny.gguf")),
                  {.precision = WeightPrecision::kF32, .threads = 1}, quiet()) {}

    void expect_refused(const Example& example, std::string_view reason) {
        try {
            engine_.run(example, {});
            ADD_FAILURE() << "accepted";
        } catch (const Error& error) {
            EXPECT_EQ(error.kind(), ErrorKind::kMalformed);
            EXPECT_NE(std::string_view(error.what()).find(reason), std::string_view::npos) << error.what();
        }
    }

    test::TempDir dir_;
    Backpropagation engine_;
};

// 128 positions' logits exist at once; an example that needs two passes is the mean of its halves' targets.
TEST_F(BackpropagationOfALlama, AddsUpOverBlocksOfPositions) {
    Example all = example_of(200), early = all, late = all;
    for (std::size_t i = 0; i < 200; ++i) (i <= 100 ? late : early).targets[i] = 0;
    const ExampleGradients a = engine_.run(all, {}), b = engine_.run(early, {}), c = engine_.run(late, {});
    const double share = static_cast<double>(early.n_targets()) / static_cast<double>(all.n_targets());
    EXPECT_NEAR(a.loss, share * b.loss + (1 - share) * c.loss, 1e-6);
    for (std::size_t layer = 0; layer < 2; ++layer)
        for (std::size_t head = 0; head < 4; ++head)
            EXPECT_NEAR(a.gates[layer][head], share * b.gates[layer][head] + (1 - share) * c.gates[layer][head], 1e-5);
}

TEST_F(BackpropagationOfALlama, ShowsEveryMatrixWhatItReads) {
    std::map<std::string, std::int64_t> channels;
    const Example example = example_of(9);
    std::int64_t output_rows = 0;
    engine_.run(example, [&](std::span<const TensorId> matrices, std::span<const float> rows, std::int64_t width) {
        for (const TensorId& id : matrices) {
            EXPECT_TRUE(channels.emplace(gguf_name(id), width).second) << "twice: " << gguf_name(id);
            const auto n_rows = std::ssize(rows) / width;
            if (id.role == TensorRole::kTokenEmbedding)
                output_rows = n_rows;
            else
                EXPECT_EQ(n_rows, 9) << gguf_name(id);
        }
    });
    EXPECT_EQ(channels.size(), 2u * 7 + 1);
    EXPECT_EQ(channels.at("blk.1.attn_output.weight"), 32);
    EXPECT_EQ(channels.at("blk.0.ffn_down.weight"), 48);
    EXPECT_EQ(output_rows, 8);  // the last token predicts nothing
}

TEST_F(BackpropagationOfALlama, RefusesExamplesWithNothingToPredict) {
    expect_refused({}, "0 targets");
    expect_refused({.tokens = {5}, .targets = {1}}, "0 targets");
    expect_refused({.tokens = {5, 6}, .targets = {1, 0}}, "0 targets");
    expect_refused({.tokens = {5, 6}, .targets = {1}}, "2 tokens");
}

TEST_F(BackpropagationOfALlama, RefusesIdsOutsideTheVocabulary) {
    expect_refused({.tokens = {5, test::kTinyVocabulary}, .targets = {1, 1}}, "token id 264");
    expect_refused({.tokens = {-1, 5}, .targets = {1, 1}}, "token id -1");
}

}  // namespace
}  // namespace plasticity
