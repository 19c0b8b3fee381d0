// Channels that are scaled: the model's function, and everything that was measured of it, stay those of the model.

#include "artifact/equalization.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <fstream>
#include <limits>
#include <numeric>
#include <optional>

#include "artifact/adapted_model.h"
#include "artifact/gate_gradients.h"
#include "artifact/kept_adapter.h"
#include "engine/decoder.h"
#include "integration/real_model.h"
#include "model/gguf_export.h"
#include "plasticity/compress.h"
#include "plasticity/score.h"
#include "support/expect_error.h"
#include "support/random_adapter.h"
#include "support/reference_model.h"
#include "support/square_gram.h"
#include "support/temp_dir.h"
#include "support/tiny_model.h"
#include "support/tiny_recipe.h"

namespace plasticity {
namespace {

namespace fs = std::filesystem;
using test::quiet;

constexpr double kWide = 2.0;  // scales of 1/2 to 2 and more

void equalize_alone(std::unique_ptr<Model>& model, std::optional<Statistics>& statistics) {
    std::optional<GramFile> no_gram;
    equalize(model, statistics, no_gram, kWide);
}

/// As if a text had been read in which channels carry between 1 and some 50.
Statistics uneven_statistics(const Model& model) {
    Statistics statistics;
    for (const ModelTensor& tensor : model.tensors()) {
        if (!is_matrix(tensor.id) || tensor.id.layer < 0) continue;
        ChannelStatistics& channels = statistics.matrices[tensor.name];
        channels.count = 1;
        for (const float value : test::uniform_stream(gram_owner(tensor.name), static_cast<std::size_t>(tensor.cols)))
            channels.sum_of_squares.push_back(std::exp(2.0 * (value + 1)));
    }
    return statistics;
}

std::vector<float> exact_logits(const Model& model, const std::vector<std::int32_t>& tokens) {
    Decoder decoder(model, {.context_length = 64, .exact = true, .threads = 1}, quiet());
    std::vector<float> all;
    decoder.feed(tokens, 0,
                 [&](std::int32_t, std::span<const float> row) { all.insert(all.end(), row.begin(), row.end()); });
    return all;
}

void expect_same_function(const fs::path& path, const std::vector<std::int32_t>& tokens) {
    const auto before = open_model(path);
    auto after = open_model(path);
    std::optional statistics = uneven_statistics(*after);
    equalize_alone(after, statistics);
    for (const ModelTensor& tensor : before->tensors()) {
        const TensorId& id = tensor.id;
        const bool expected =
            id.layer >= 0 &&
            ((is_matrix(id) && id.role != TensorRole::kRouter) || id.role == TensorRole::kAttentionNorm ||
             id.role == TensorRole::kFeedForwardNorm || id.role == TensorRole::kValue);
        EXPECT_EQ(test::all_values(*before, id) != test::all_values(*after, id), expected) << tensor.name;
    }
    const std::vector<float> expected = exact_logits(*before, tokens), found = exact_logits(*after, tokens);
    ASSERT_EQ(expected.size(), found.size());
    for (std::size_t i = 0; i < found.size(); ++i) ASSERT_NEAR(found[i], expected[i], 1e-3) << i;
}

class EqualizedFamily : public testing::TestWithParam<const char*> {};

TEST_P(EqualizedFamily, ComputesTheSame) {
    const test::TempDir dir;
    const test::ReferenceModel reference = test::load_reference(GetParam());
    expect_same_function(test::write_reference_folder(dir / "hf", reference), reference.tokens);
}

INSTANTIATE_TEST_SUITE_P(Integration, EqualizedFamily,
                         testing::Values("llama", "mistral", "qwen2", "qwen3", "granite", "smollm3", "gemma3", "phi3"),
                         [](const auto& family) { return std::string(family.param); });

TEST(EqualizedModel, WithBlocksOfDifferentShapeComputesTheSame) {
    const test::TempDir dir;
    const auto path =
        test::write_tiny_gguf(dir / "m.gguf", {.architecture = "deci", .layers = {{4, 2, 48}, {0, 0, 32}, {2, 1, 64}}});
    expect_same_function(path, {72, 101, 108, 108, 111, 44, 32, 119, 250, 3});
}

TEST(EqualizedModel, StaysAsItIsWhereNothingIsKnown) {
    const test::TempDir dir;
    auto model = open_model(test::write_tiny_gguf(dir / "m.gguf"));
    Statistics statistics = uneven_statistics(*model);
    for (const char* name : {"blk.0.attn_k.weight", "blk.1.ffn_down.weight"}) statistics.matrices.erase(name);
    const auto scales = equalizing_scales(*model, statistics, kWide);
    EXPECT_TRUE(scales->columns({TensorRole::kQuery, 0}).empty()) << "what k reads is not known, and q reads the same";
    EXPECT_TRUE(scales->divisors({TensorRole::kAttentionNorm, 0}).empty());
    EXPECT_TRUE(scales->columns({TensorRole::kDown, 1}).empty());
    EXPECT_TRUE(scales->divisors({TensorRole::kUp, 1}).empty());
    EXPECT_FALSE(scales->columns({TensorRole::kUp, 1}).empty());
    EXPECT_FALSE(scales->columns({TensorRole::kQuery, 1}).empty());
    EXPECT_TRUE(scales->columns({TensorRole::kTokenEmbedding}).empty());
}

TEST(EqualizedModel, IsRefusedByTheNameOfWhatIsDamaged) {
    const test::TempDir dir;
    LoraAdapter adapter = test::random_adapter(open_model(test::write_tiny_gguf(dir / "m.gguf"))->architecture(), 3,
                                               0.2f, std::array{TensorRole::kKey});
    adapter.matrices.back().b.front() = std::numeric_limits<float>::infinity();
    auto damaged = with_adapter(open_model(dir / "m.gguf"), adapter);
    std::optional statistics = uneven_statistics(*damaged);
    test::expect_error(ErrorKind::kMalformed, {"blk.1.attn_k.weight", "not finite"},
                       [&] { equalize_alone(damaged, statistics); });
}

/// s⁴ = X ÷ W at strength 1, but for the mean over all and eight bits of rounding.
TEST(EqualizedModel, HasTheScalesThatBalanceErrors) {
    const test::TempDir dir;
    const auto model = open_model(test::write_tiny_gguf(dir / "m.gguf"));
    const Statistics statistics = uneven_statistics(*model);
    const TensorId down{TensorRole::kDown, 1};
    const auto scales = equalizing_scales(*model, statistics, 1.0);
    const std::span<const float> found = scales->columns(down);
    const std::vector<float> weights = test::all_values(*model, down);
    const std::vector<double>& read = statistics.matrices.at(gguf_name(down)).sum_of_squares;
    ASSERT_EQ(found.size(), read.size());
    double log_sum = 0;
    for (const float scale : found) log_sum += std::log(scale);
    EXPECT_NEAR(log_sum / static_cast<double>(found.size()), 0, 4e-3);
    const auto balanced = [&](std::size_t col) {  // the same in all columns
        double squares = 0;
        for (std::size_t i = col; i < weights.size(); i += found.size()) squares += double{weights[i]} * weights[i];
        return std::pow(found[col], 4) * squares / read[col];
    };
    for (std::size_t col = 1; col < found.size(); ++col) EXPECT_NEAR(balanced(col) / balanced(0), 1, 0.04) << col;
}

/// What is scored of the scaled model, written out, is what its statistics say.
class EqualizedScores : public testing::Test {
protected:
    EqualizedScores() {
        test::write_tiny_gguf(dir_ / "m.gguf",
                              {.architecture = "deci", .layers = {{4, 2, 48}, {0, 0, 32}, {2, 1, 64}}});
        std::ofstream(dir_ / "data.jsonl") << "{\"text\": \"the inner ring, in the water, the outer ring\"}\n";
        score_of("m");
    }

    void score_of(const std::string& name) const {
        score({.model = dir_ / (name + ".gguf"),
               .data = {dir_ / "data.jsonl"},
               .statistics = dir_ / (name + ".stats.gguf"),
               .gram = dir_ / (name + ".gram.gguf"),
               .chunk = 8,
               .precision = "f32",
               .curvature_every = 1,
               .threads = 1},
              quiet());
    }

    test::TempDir dir_;
};

TEST_F(EqualizedScores, AreThoseOfTheScaledModel) {
    auto model = open_model(dir_ / "m.gguf");
    std::optional statistics = load_statistics(dir_ / "m.stats.gguf", model->architecture());
    std::optional<GramFile> gram(dir_ / "m.gram.gguf");
    equalize(model, statistics, gram, kWide);
    export_gguf(*model, {.file = dir_ / "scaled.gguf", .type = "f32"}, quiet());
    score_of("scaled");

    const Statistics scored = load_statistics(dir_ / "scaled.stats.gguf", model->architecture());
    ASSERT_EQ(scored.matrices.size(), statistics->matrices.size());
    for (const auto& [name, expected] : scored.matrices) {
        const std::vector<double>& found = statistics->matrices.at(name).sum_of_squares;
        ASSERT_EQ(found.size(), expected.sum_of_squares.size());
        for (std::size_t i = 0; i < found.size(); ++i)
            EXPECT_NEAR(found[i], expected.sum_of_squares[i], 1e-4 * expected.sum_of_squares[i]) << name << " " << i;
    }
    const GramFile scored_gram(dir_ / "scaled.gram.gguf");
    for (const GramInput& input : scored_gram.header().inputs) {
        const test::SquareGram found = test::squares_of(*gram, input.matrix.c_str()),
                               expected = test::squares_of(scored_gram, input.matrix.c_str());
        ASSERT_EQ(found.values.size(), expected.values.size());
        const auto side = static_cast<std::size_t>(input.width);
        for (std::size_t i = 0; i < found.values.size(); ++i) {
            const double size = std::sqrt(double{expected.values[i / side * (side + 1)]} *
                                          double{expected.values[i % side * (side + 1)]});
            ASSERT_NEAR(found.values[i], expected.values[i], 1e-4 * size) << input.matrix << " " << i;
        }
    }
    for (const auto& [name, expected] : scored.curvature) {
        const CurvatureStatistics& found = statistics->curvature.at(name);
        for (std::size_t i = 0; i < expected.gates.size(); ++i)
            EXPECT_NEAR(found.gates[i], expected.gates[i], 1e-3 * expected.gates[i]) << name << " " << i;
        // Row and column sums are of one matrix; how it changes is known as far as it is their product.
        const auto sum = [](const std::vector<double>& values) {
            return std::accumulate(values.begin(), values.end(), 0.0);
        };
        EXPECT_NEAR(sum(found.rows) / sum(found.columns), 1, 1e-6) << name;
        EXPECT_NEAR(std::log(sum(found.rows) / sum(expected.rows)), 0, std::log(1.5)) << name;
    }
}

TEST_F(EqualizedScores, RefuseCurvatureOfAnotherShape) {
    const auto model = open_model(dir_ / "m.gguf");
    Statistics statistics = load_statistics(dir_ / "m.stats.gguf", model->architecture());
    const auto scales = equalizing_scales(*model, statistics, kWide);
    statistics.curvature.at("blk.2.ffn_up.weight").columns.pop_back();
    test::expect_error(ErrorKind::kMalformed, {"blk.2.ffn_up.weight", "64 × 31; expected 64 × 32"},
                       [&] { scaled_statistics(statistics, *model, *scales); });
}

TEST_F(EqualizedScores, CompressScalesWhatTheRecipeAsksFor) {
    const auto base = open_model(dir_ / "m.gguf");
    Recipe recipe = test::tiny_recipe(*base, {});
    recipe.equalization = kWide;
    CompressOptions options{.model = dir_ / "m.gguf", .output = dir_ / "out.gguf", .threads = 1};
    test::expect_error(ErrorKind::kUsage, {"--stats"}, [&] { compress(options, recipe, quiet()); });
    options.statistics = dir_ / "m.stats.gguf";
    compress(options, recipe, quiet());

    const auto output = open_model(options.output);
    auto scaled = open_model(dir_ / "m.gguf");
    std::optional statistics = load_statistics(*options.statistics, scaled->architecture());
    equalize_alone(scaled, statistics);
    for (const ModelTensor& tensor : scaled->tensors())
        EXPECT_EQ(test::all_values(*output, tensor.id), test::all_values(*scaled, tensor.id)) << tensor.name;

    const Architecture& architecture = base->architecture();
    save_gguf_adapter(test::random_adapter(architecture), architecture, dir_ / "adapter.gguf", Overwrite::kRefuse);
    test::expect_error(ErrorKind::kUsage, {"adapter.gguf", "--equalize"},
                       [&] { load_kept_adapter(*output, dir_ / "adapter.gguf"); });
}

}  // namespace
}  // namespace plasticity
