#include "plasticity/verify.h"

#include <gtest/gtest.h>

#include <cmath>
#include <fstream>
#include <functional>
#include <limits>

#include "core/error.h"
#include "core/progress.h"
#include "io/gguf_reader.h"
#include "support/edited_file.h"
#include "support/expect_error.h"
#include "support/temp_dir.h"
#include "support/tiny_model.h"
#include "support/tiny_recipe.h"
#include "verify/generation_check.h"
#include "verify/peak_check.h"

namespace plasticity {
namespace {

using test::TempDir;
using Path = std::filesystem::path;

/// Layers with different numbers of heads: what stock engines take as `deci`.
const std::vector<std::vector<std::int32_t>> kPruned{{0, 1, 2, 3}, {2, 3}};

class Verify : public testing::Test {
protected:
    Verify() {
        test::write_tiny_gguf(base_, {.n_embd = 64, .head_dim = 16, .n_ff = 96});
        model_ = open_model(base_);
        recipe_ = test::tiny_recipe(*model_, {.kept_heads = kPruned, .type = GGML_TYPE_Q8_0});
        layout_ = lay_out(*model_, recipe_, {.with_tokenizer = true});
    }

    /// Writes the base compressed by recipe_, under the header of layout_, which a test may have spoilt.
    void write() {
        GgufWriter file(out_, layout_.file, Overwrite::kReplace);
        for (const OutputTensor& tensor : layout_.tensors) {
            const auto values = test::naive_values(*model_, tensor);
            std::vector<std::byte> stored(tensor.spec.bytes());
            ggml_quantize_chunk(tensor.spec.type, values.data(), stored.data(), 0,
                                std::ssize(values) / tensor.spec.dims[0], tensor.spec.dims[0], nullptr);
            file.write(tensor.spec.name, stored);
        }
        file.finish();
    }

    /// Makes the file from a recipe that was changed after planning, its announced size kept up to date.
    void write_with(const std::function<void(Recipe&)>& change) {
        change(recipe_);
        layout_ = lay_out(*model_, recipe_, {.with_tokenizer = true});
        write();
    }

    Report run(VerifyOptions options = {}) {
        options.model = out_;
        options.context = 64;
        if (options.threads == 0) options.threads = 1;  // threads of a tiny model mostly wait for each other
        return verify(options, *make_progress(ProgressStyle::kQuiet));
    }

    static const Check* find(const Report& report, std::string_view name) {
        for (const Check& check : report.checks)
            if (check.name == name) return &check;
        return nullptr;
    }

    /// Exactly this check fails, saying so.
    void expect_only_failure(const Report& report, std::string_view name, std::string_view detail) {
        EXPECT_FALSE(report.passed());
        for (const Check& check : report.checks)
            EXPECT_EQ(check.passed, check.name != name) << check.name << ": " << check.detail;
        ASSERT_NE(find(report, name), nullptr);
        EXPECT_NE(find(report, name)->detail.find(detail), std::string::npos) << find(report, name)->detail;
    }

    TempDir dir_;
    Path base_ = dir_ / "base.gguf", out_ = dir_ / "out.gguf";
    std::unique_ptr<Model> model_;
    Recipe recipe_;
    OutputLayout layout_;
};

TEST_F(Verify, PassesWhatCompressWrites) {
    write();
    const Report report = run();
    for (const Check& check : report.checks) EXPECT_TRUE(check.passed) << check.name << ": " << check.detail;
    EXPECT_EQ(report.checks.size(), 8u);
    EXPECT_EQ(report.architecture, "deci");
    EXPECT_EQ(report.file_bytes, std::filesystem::file_size(out_));
    EXPECT_EQ(report.test_prompt, "def fibonacci(n):");
    EXPECT_FALSE(report.quality);
}

TEST_F(Verify, MeasuresQualityAgainstTheBase) {
    write();
    std::ofstream(dir_ / "text.txt") << std::string(400, 'a') + std::string(400, 'b') + "the end in the inner text";
    VerifyOptions options{.base = base_, .data = {dir_ / "text.txt"}, .chunks = 2};
    const Report report = run(options);
    ASSERT_TRUE(report.quality);
    EXPECT_TRUE(report.passed()) << find(report, "kl divergence")->detail;
    EXPECT_GT(report.quality->positions, 0);
    EXPECT_GT(report.quality->mean_kl, 0) << "two heads are gone";

    recipe_ = test::tiny_recipe(*model_);  // all heads, F32
    layout_ = lay_out(*model_, recipe_, {.with_tokenizer = true});
    write();
    const Report same = run(options);
    ASSERT_TRUE(same.quality);
    EXPECT_LT(same.quality->max_kl, 1e-6);
    EXPECT_EQ(same.quality->top1_agreement, 1.0);
}

TEST_F(Verify, KeepsTheHistogramAndWhatItTook) {
    write();
    std::ofstream(dir_ / "text.txt") << std::string(400, 'a') + std::string(400, 'b') + "the end in the inner text";
    const Report report = run({.base = base_, .data = {dir_ / "text.txt"}, .chunks = 2});
    ASSERT_TRUE(report.quality && report.coherence);
    EXPECT_TRUE(report.quality->errors);
    EXPECT_TRUE(report.coherence->judged_by_base);
    EXPECT_NE(find(report, "weights")->detail.find("are the base's"), std::string::npos);
    const std::string json = report_to_json(report);
    for (const char* key : {"\"histogram\"", "\"edges\"", "\"medianKlError\"", "\"judgedBy\": \"base\""})
        EXPECT_NE(json.find(key), std::string::npos) << key;
#ifdef __linux__
    ASSERT_TRUE(report.peak);
    EXPECT_GT(report.peak->predicted_bytes, report.file_bytes / 2);
#endif
}

TEST_F(Verify, FindsLayersThatChangedPlaces) {
    recipe_ = test::tiny_recipe(*model_, {.type = GGML_TYPE_Q8_0});
    layout_ = lay_out(*model_, recipe_, {.with_tokenizer = true});
    write();
    test::swap_blocks(out_, 0, 1);
    EXPECT_TRUE(run().passed()) << "nothing tells without the base";
    std::ofstream(dir_ / "text.txt") << std::string(400, 'a');
    expect_only_failure(run({.base = base_, .data = {dir_ / "text.txt"}}), "weights",
                        "blk.0.attn_q.weight is not what the base has there");
}

TEST_F(Verify, HoldsTheFileAgainstThresholds) {
    write();
    std::ofstream(dir_ / "text.txt") << std::string(400, 'a') + std::string(400, 'b') + "the end in the inner text";
    const auto run_with = [&](const std::string& thresholds) {
        std::ofstream(dir_ / "thresholds.json") << thresholds;
        return run({.base = base_, .data = {dir_ / "text.txt"}, .thresholds = dir_ / "thresholds.json", .chunks = 2});
    };
    EXPECT_TRUE(run_with(R"({"schemaVersion": 1, "maxMeanKl": 10, "maxPerplexityRatio": 10})").passed());
    expect_only_failure(run_with(R"({"schemaVersion": 1, "maxMeanKl": 1e-9})"), "kl divergence", "mean KL");
    expect_only_failure(run_with(R"({"schemaVersion": 1, "minTop1Agreement": 1, "maxMeanKl": 10})"), "kl divergence",
                        "expected at least 100.00 %");
    expect_only_failure(run_with(R"({"schemaVersion": 1, "minWeightSimilarity": 1})"), "weights",
                        "expected at least 1.00");
    expect_only_failure(run_with(R"({"schemaVersion": 1, "minEntropy": 99})"), "coherence", "expected at least 99");
}

TEST_F(Verify, RefusesDemandsThatCannotBeMeasured) {
    write();
    std::ofstream(dir_ / "thresholds.json") << R"({"schemaVersion": 1, "maxMeanKl": 1})";
    test::expect_error(ErrorKind::kUsage, {"--base"}, [&] { run({.thresholds = dir_ / "thresholds.json"}); });
    std::ofstream(dir_ / "thresholds.json") << R"({"schemaVersion": 1, "minTaskAccuracy": 1})";
    test::expect_error(ErrorKind::kUsage, {"--tasks"}, [&] { run({.thresholds = dir_ / "thresholds.json"}); });
    test::expect_error(ErrorKind::kMissing, {"llama-perplexity"}, [&] { run({.stock = dir_.path()}); });
}

TEST_F(Verify, MeasuresTaskAccuracy) {
    write();
    std::ofstream(dir_ / "tasks.jsonl") << R"({"name": "any", "prompt": "in the", "regex": ".*", "maxTokens": 4})"
                                        << "\n"
                                        << R"({"name": "none", "prompt": "in the", "exact": "no model says this"})";
    const Report report = run({.tasks = dir_ / "tasks.jsonl"});
    EXPECT_TRUE(report.passed()) << find(report, "tasks")->detail;
    ASSERT_TRUE(report.tasks);
    EXPECT_EQ(report.tasks->accuracy(), 0.5);
    EXPECT_NEAR(report.tasks->standard_error(), 0.3536, 1e-3);
    EXPECT_FALSE(report.tasks->outcomes[1].passed);

    std::ofstream(dir_ / "thresholds.json") << R"({"schemaVersion": 1, "minTaskAccuracy": 0.6})";
    expect_only_failure(
        run({.thresholds = dir_ / "thresholds.json", .tasks = dir_ / "tasks.jsonl"}), "tasks",
        "1 of 2 passed (50.0 ± 35.4 %); expected at least 60.0 %; the first that did not: none: expected");
}

TEST(JudgePeak, FailsBeyondTheRatioAndTheSlack) {
    constexpr std::uint64_t kMb = 1'000'000;
    EXPECT_TRUE(judge_peak(RunTimePeak{512, 1000 * kMb, 1300 * kMb}, 1.25).passed);
    const Check check = judge_peak(RunTimePeak{512, 1000 * kMb, 1400 * kMb}, 1.25);
    EXPECT_FALSE(check.passed);
    EXPECT_NE(check.detail.find("1.40 GB at 512 tokens; predicted 1.00 GB"), std::string::npos) << check.detail;
    EXPECT_TRUE(judge_peak(std::nullopt, 1.25).passed);
}

TEST_F(Verify, PassesAPaddedFileWhichComputesTheSame) {
    std::ofstream(dir_ / "text.txt") << std::string(400, 'a') + std::string(400, 'b') + "the end in the inner text";
    recipe_ = test::tiny_recipe(*model_, {.padding = {.width = 96, .heads = 6, .feed_forward = 128}});
    layout_ = lay_out(*model_, recipe_, {.with_tokenizer = true});
    write();
    const Report report = run({.base = base_, .data = {dir_ / "text.txt"}, .chunks = 2});
    for (const Check& check : report.checks) EXPECT_TRUE(check.passed) << check.name << ": " << check.detail;
    ASSERT_TRUE(report.quality);
    EXPECT_LT(report.quality->max_kl, 1e-6);
    EXPECT_NE(find(report, "types")->detail.find("rows: 2 in blocks of 1: 128 is no multiple of 256, 13 in "),
              std::string::npos)
        << find(report, "types")->detail;
    EXPECT_NE(find(report, "structure")->detail.find("padded to width 96, heads 6, feed-forward width 128"),
              std::string::npos)
        << find(report, "structure")->detail;
}

TEST_F(Verify, PassesPaddedColumnsAndSaysWhy) {
    std::ofstream(dir_ / "text.txt") << std::string(400, 'a') + std::string(400, 'b') + "the end in the inner text";
    recipe_ =
        test::tiny_recipe_with_padded_columns(*model_, {.type = GGML_TYPE_Q6_K, .embedding_type = GGML_TYPE_Q6_K});
    layout_ = lay_out(*model_, recipe_, {.with_tokenizer = true});
    write();
    const Report report = run({.base = base_, .data = {dir_ / "text.txt"}, .chunks = 2});
    for (const Check& check : report.checks) EXPECT_TRUE(check.passed) << check.name << ": " << check.detail;
    ASSERT_TRUE(report.quality);
    EXPECT_LT(report.quality->mean_kl, 1e-3);
    EXPECT_EQ(report.stock, std::optional(false));
    EXPECT_NE(report_to_json(report).find("\"stockReason\": \"padded by hand\""), std::string::npos);
    EXPECT_NE(find(report, "types")->detail.find("padded 64 → 256: 256-wide blocks"), std::string::npos)
        << find(report, "types")->detail;
}

TEST_F(Verify, FindsPaddedColumnsThatTheRecipeDoesNotHave) {
    recipe_ =
        test::tiny_recipe_with_padded_columns(*model_, {.type = GGML_TYPE_Q6_K, .embedding_type = GGML_TYPE_Q6_K});
    layout_ = lay_out(*model_, recipe_, {.with_tokenizer = true});
    for (QuantAssignment& line : recipe_.tensor_quant_map) line.padded_columns = 0;
    layout_.file.metadata.set("continuum.compression_recipe", recipe_to_json(recipe_));
    write();
    EXPECT_NE(find(run(), "structure")
                  ->detail.find("blk.0.ffn_down.weight has rows of 96 padded to 256; expected rows "
                                "of 96"),
              std::string::npos)
        << find(run(), "structure")->detail;
}

TEST_F(Verify, FindsPaddedColumnsThatNothingAnnounces) {
    recipe_ =
        test::tiny_recipe_with_padded_columns(*model_, {.type = GGML_TYPE_Q6_K, .embedding_type = GGML_TYPE_Q6_K});
    layout_ = lay_out(*model_, recipe_, {.with_tokenizer = true});
    layout_.file.metadata.erase("continuum.padded_columns");
    write();
    EXPECT_NE(find(run(), "structure")->detail.find("blk.0.ffn_down.weight: got shape [64 × 256]; expected [64 × 96]"),
              std::string::npos)
        << find(run(), "structure")->detail;
}

TEST_F(Verify, FindsSizesOtherThanThePadding) {
    write();
    const auto with = [&](const Padding& padding) {
        recipe_.padding = padding;
        layout_.file.metadata.set("continuum.compression_recipe", recipe_to_json(recipe_));
        GgufWriter file(out_, layout_.file, Overwrite::kReplace);
        for (const OutputTensor& tensor : layout_.tensors)
            file.write(tensor.spec.name, std::vector<std::byte>(tensor.spec.bytes()));
        file.finish();
        return find(run(), "structure")->detail;
    };
    EXPECT_NE(with({.width = 96}).find("embedding width 64; expected 96"), std::string::npos);
    EXPECT_NE(with({.heads = 8}).find("layer 0: 4 query and 2 KV heads; expected 8 and 2"), std::string::npos);
    EXPECT_NE(with({.feed_forward = 128}).find("layer 0: feed-forward width 96; expected 128"), std::string::npos);
}

TEST_F(Verify, FindsABlockThatIsNotFinite) {
    write();
    const GgufTensor tensor = *GgufReader(out_).find("blk.1.ffn_up.weight");
    const std::uint16_t infinity = 0x7c00;  // the F16 scale that a block of q8_0 begins with
    const std::uint64_t block = 5;          // two blocks a row of 64
    test::overwrite(out_, tensor.offset + block * ggml_type_size(GGML_TYPE_Q8_0),
                    std::as_bytes(std::span(&infinity, 1)));
    for (const int threads : {1, 3})
        expect_only_failure(run({.threads = threads}), "numerics",
                            "blk.1.ffn_up.weight (q8_0): row 2, column 32 is not finite");
}

TEST_F(Verify, FindsANormThatIsNotFinite) {
    write();
    const float nan = std::numeric_limits<float>::quiet_NaN();
    test::overwrite(out_, GgufReader(out_).find("output_norm.weight")->offset + 9 * sizeof nan,
                    std::as_bytes(std::span(&nan, 1)));
    expect_only_failure(run(), "numerics", "output_norm.weight (f32): row 0, column 9");
}

TEST_F(Verify, FindsHeadCountsThatTheTensorsDoNotHave) {
    layout_.architecture.layers[1].n_head = 4;
    layout_.architecture.layers[1].n_head_kv = 2;
    write_architecture(layout_.architecture, layout_.file.metadata);
    write();
    const Report report = run();
    ASSERT_FALSE(find(report, "structure")->passed);
    EXPECT_NE(find(report, "structure")->detail.find("blk.1.attn_q.weight"), std::string::npos)
        << find(report, "structure")->detail;
    EXPECT_EQ(find(report, "generation"), nullptr) << "what is broken is not run";
}

TEST_F(Verify, FindsHeadsOtherThanTheRecipes) {
    const Recipe other = test::tiny_recipe(*model_, {.kept_heads = {{0, 1}, {2, 3}}, .type = GGML_TYPE_Q8_0});
    layout_.file.metadata.set("continuum.compression_recipe", recipe_to_json(other));
    write();
    const Check structure = *find(run(), "structure");
    EXPECT_FALSE(structure.passed);
    EXPECT_NE(structure.detail.find("layer 0: 4 query and 2 KV heads; expected 2 and 1"), std::string::npos)
        << structure.detail;
}

TEST_F(Verify, FindsArraysThatDisagreeWithTheRecipe) {
    layout_.file.metadata.set("continuum.per_layer_head_counts", GgufArray(std::vector<std::int32_t>{4, 4}));
    write();
    expect_only_failure(run(), "structure", "continuum.per_layer_head_counts is [4, 4]; expected [4, 2]");
}

TEST_F(Verify, KnowsHowWideEachLayerIsToBe) {
    const auto pruned = [&](std::int32_t second) {
        return test::tiny_recipe(*model_,
                                 {.kept_channels = {test::up_to(96), test::up_to(second)}, .type = GGML_TYPE_Q8_0});
    };
    write_with([&](Recipe& recipe) { recipe = pruned(64); });
    const Report good = run({.base = base_});
    EXPECT_TRUE(good.passed());
    EXPECT_NE(find(good, "structure")->detail.find("160 feed-forward channels"), std::string::npos)
        << find(good, "structure")->detail;

    recipe_ = pruned(32);
    layout_.file.metadata.set("continuum.compression_recipe", recipe_to_json(recipe_));
    write();
    const std::string detail = find(run(), "structure")->detail;
    EXPECT_NE(detail.find("layer 1: feed-forward width 64; expected 32"), std::string::npos) << detail;
    EXPECT_NE(detail.find("continuum.per_layer_feed_forward_lengths is [96, 64]; expected [96, 32]"), std::string::npos)
        << detail;
}

TEST_F(Verify, FindsARecipeThatCannotBeRead) {
    std::string text = recipe_to_json(recipe_);
    text[0] = '?';  // as long as before: the announced size still holds
    layout_.file.metadata.set("continuum.compression_recipe", text);
    write();
    expect_only_failure(run(), "structure", "continuum.compression_recipe");
}

TEST_F(Verify, FindsTypesOtherThanTheRecipes) {
    recipe_.tensor_quant_map.back().type = GGML_TYPE_Q4_0;
    layout_.file.metadata.set("continuum.compression_recipe", recipe_to_json(recipe_));
    write();
    expect_only_failure(run(), "types", "blk.0.attn_q.weight is q8_0; expected q4_0");
}

TEST_F(Verify, FindsAnotherBasesGeometry) {
    write();
    const Path other = test::write_tiny_gguf(dir_ / "other.gguf", {.n_layer = 3});
    expect_only_failure(run({.base = other}), "structure", "layers");
}

TEST_F(Verify, FindsAFileBeyondItsSizeOrOtherThanAnnounced) {
    write_with([](Recipe& recipe) {
        recipe.device.reset();
        recipe.budget.limit_bytes = 70'000;
    });
    const Check size = *find(run(), "file size");
    EXPECT_FALSE(size.passed);
    EXPECT_NE(size.detail.find("at most 70000"), std::string::npos) << size.detail;

    write_with([](Recipe& recipe) { recipe.budget.limit_bytes = 0; });
    EXPECT_NE(find(run(), "file size")->detail.find("the recipe announces"), std::string::npos);
}

TEST_F(Verify, FindsADeviceThatIsTooSmall) {
    const Device small{"tiny", 100'000, 0};
    write_with([&](Recipe& recipe) {
        recipe.device = small;
        test::settle_file_bytes(*model_, recipe);
    });
    expect_only_failure(run(), "memory", "tiny has 100.0 kB");
    EXPECT_TRUE(find(run({.device = "16gb"}), "memory")->passed) << "another device may be asked for";
}

TEST_F(Verify, CountsThePlannedContext) {
    write_with([&](Recipe& recipe) {
        recipe.context_length = 200'000'000;
        test::settle_file_bytes(*model_, recipe);
    });
    expect_only_failure(run(), "memory", "at 200000000 tokens");
}

TEST_F(Verify, SaysWhenNoRecipeIsEmbedded) {
    out_ = base_;
    const Report report = run();
    EXPECT_TRUE(report.passed());
    EXPECT_NE(find(report, "structure")->detail.find("no recipe is embedded"), std::string::npos);
    EXPECT_FALSE(find(run({.device = R"({"memoryGb": 0.0001, "reservedGb": 0, "label": "toy"})"}), "memory")->passed);
}

TEST_F(Verify, RunsFilesWithoutTokenizer) {
    layout_ = lay_out(*model_, recipe_, {.with_tokenizer = false});
    write();
    const Report report = run();
    for (const Check& check : report.checks) EXPECT_TRUE(check.passed) << check.name << ": " << check.detail;
    EXPECT_TRUE(report.test_prompt.empty());
}

TEST_F(Verify, ThrowsOnlyWhenTheFileCannotBeReadAtAll) {
    const auto kind_of = [&] {
        try {
            run();
        } catch (const Error& error) {
            return error.kind();
        }
        return ErrorKind::kInternal;
    };
    EXPECT_EQ(kind_of(), ErrorKind::kMissing);
    write();
    std::filesystem::resize_file(out_, std::filesystem::file_size(out_) - 40);
    EXPECT_EQ(kind_of(), ErrorKind::kMalformed);
    std::ofstream(out_) << "no model";
    EXPECT_EQ(kind_of(), ErrorKind::kMalformed);
}

TEST(JudgeGeneration, WantsDifferentTokensOfTheVocabularyWithFiniteProbabilities) {
    const std::vector<float> likely{-0.1f, -0.2f, -0.3f};
    EXPECT_TRUE(judge_generation({{5, 6, 5}, likely}, 10).passed);
    EXPECT_FALSE(judge_generation({{5, 5, 5}, likely}, 10).passed);
    EXPECT_FALSE(judge_generation({{5, 6, 10}, likely}, 10).passed);
    EXPECT_FALSE(judge_generation({{5, 6, -1}, likely}, 10).passed);
    EXPECT_FALSE(judge_generation({{5, 6}, likely}, 10).passed);
    EXPECT_FALSE(judge_generation({{5, 6, 7}, {-0.1f, NAN, -0.1f}}, 10).passed);
    EXPECT_FALSE(judge_generation({{}, {}}, 10).passed);
}

}  // namespace
}  // namespace plasticity
