// Outputs padded with zeros: what is written, with and without Gram matrices.

#include <gtest/gtest.h>

#include "compress/tensor_encoder.h"
#include "compress/written_tensors.h"
#include "core/progress.h"
#include "plasticity/compress.h"
#include "support/file_content.h"
#include "support/temp_dir.h"
#include "support/tiny_gram.h"
#include "support/tiny_model.h"
#include "support/tiny_recipe.h"

namespace plasticity {
namespace {

using Path = std::filesystem::path;

/// Four heads of 32 on two KV heads in a stream of 96 channels: 96 → 128, 4 → 6 heads, 80 → 96 feed-forward channels.
class PaddedOutput : public testing::Test {
protected:
    PaddedOutput() {
        test::write_tiny_gguf(model_, {.architecture = "qwen2", .n_embd = 96, .n_head = 4, .head_dim = 32, .n_ff = 80});
        std::vector<std::pair<std::string, std::int64_t>> inputs;
        for (const char* block : {"blk.0.", "blk.1."}) {
            inputs.emplace_back(std::string(block) + "attn_q.weight", 96);
            inputs.emplace_back(std::string(block) + "attn_output.weight", 128);
            inputs.emplace_back(std::string(block) + "ffn_down.weight", 80);
        }
        test::write_tiny_gram(gram_, inputs);
    }

    CompressResult run(const Path& output, const Recipe& recipe, bool with_gram, int threads = 1) const {
        return compress({.model = model_,
                         .output = output,
                         .gram = with_gram ? std::optional(gram_) : std::nullopt,
                         .overwrite = true,
                         .threads = threads},
                        recipe, *make_progress(ProgressStyle::kQuiet));
    }

    /// Writes one.gguf, with the Gram matrices.
    void expect_compensated_and_fed_back(const Recipe& recipe) const {
        const CompressResult result = run(dir_ / "one.gguf", recipe, true);
        EXPECT_EQ(result.compensated, 1u) << "padding alone loses no column";
        EXPECT_EQ(result.with_error_feedback, 2u * 5u);
        ASSERT_TRUE(result.output_error_ratio.has_value());
        EXPECT_LT(*result.output_error_ratio, 0.9);
        run(dir_ / "three.gguf", recipe, true, 3);
        EXPECT_EQ(test::read_bytes(dir_ / "one.gguf"), test::read_bytes(dir_ / "three.gguf"));
    }

    test::TempDir dir_;
    Path model_ = dir_ / "in.gguf", gram_ = dir_ / "gram.gguf";
    test::TinyRecipeOptions options_{.padding = {.width = 128, .heads = 6, .feed_forward = 96}};
};

TEST_F(PaddedOutput, IsWhatTheNaiveWriterWritesWhateverTheThreads) {
    const auto model = open_model(model_);
    for (const ggml_type type : {GGML_TYPE_F32, GGML_TYPE_F16, GGML_TYPE_Q4_0, GGML_TYPE_IQ4_NL}) {
        options_.type = options_.embedding_type = type;
        const Recipe recipe = test::tiny_recipe(*model, options_);
        test::write_naively(*model, recipe, dir_ / "naive.gguf");
        for (const int threads : {1, 3}) {
            const CompressResult result = run(dir_ / "out.gguf", recipe, false, threads);
            EXPECT_EQ(test::read_bytes(dir_ / "out.gguf"), test::read_bytes(dir_ / "naive.gguf"))
                << ggml_type_name(type);
            EXPECT_EQ(result.file_bytes, recipe.budget.file_bytes);
            EXPECT_EQ(std::filesystem::file_size(dir_ / "out.gguf"), recipe.budget.file_bytes);
        }
    }
}

TEST_F(PaddedOutput, CopiesStoredBlocksAndAddsZeroBlocks) {
    test::write_tiny_gguf(model_,
                          {.n_embd = 96, .n_head = 4, .head_dim = 32, .n_ff = 160, .matrix_type = GGML_TYPE_Q4_0});
    options_.type = options_.embedding_type = GGML_TYPE_Q4_0;
    options_.padding.feed_forward = 256;
    run(dir_ / "out.gguf", test::tiny_recipe(*open_model(model_), options_), false);
    const std::string source = test::tensor_bytes(model_, "blk.0.ffn_down.weight");
    const std::string written = test::tensor_bytes(dir_ / "out.gguf", "blk.0.ffn_down.weight");
    const std::size_t block = ggml_type_size(GGML_TYPE_Q4_0), row = 8 * block, source_row = 5 * block;
    ASSERT_EQ(written.size(), 128 * row);
    for (std::size_t i = 0; i < 96; ++i)
        ASSERT_EQ(written.substr(i * row, row),
                  source.substr(i * source_row, source_row) + std::string(3 * block, '\0'));
    EXPECT_EQ(written.substr(96 * row), std::string(32 * row, '\0'));
}

TEST_F(PaddedOutput, IsCompensatedAndFedBackWhereItsInputsAreKnown) {
    options_.type = GGML_TYPE_Q4_0;
    options_.kept_heads = {{1, 3}, {0, 1, 2, 3}};
    const Recipe recipe = test::tiny_recipe(*open_model(model_), options_);
    expect_compensated_and_fed_back(recipe);

    // Heads 1 and 3, each followed by two of zeros: those must be zero whatever went before.
    const std::string stored = test::tensor_bytes(dir_ / "one.gguf", "blk.0.attn_output.weight");
    std::vector<float> values(128 * 192);
    ggml_get_type_traits(GGML_TYPE_Q4_0)->to_float(stored.data(), values.data(), std::ssize(values));
    for (std::size_t i = 0; i < values.size(); ++i)
        if (i / 192 >= 96 || i % 96 >= 32) {
            ASSERT_EQ(values[i], 0.0f) << i;
        }
}

TEST_F(PaddedOutput, ColumnsOfSingleMatricesAreWhatTheNaiveWriterWrites) {
    const auto model = open_model(model_);
    for (const ggml_type type : {GGML_TYPE_Q6_K, GGML_TYPE_Q3_K, GGML_TYPE_IQ3_S, GGML_TYPE_Q4_0}) {
        const Recipe recipe =
            test::tiny_recipe_with_padded_columns(*model, {.type = type, .embedding_type = GGML_TYPE_Q5_K});
        test::write_naively(*model, recipe, dir_ / "naive.gguf");
        for (const int threads : {1, 3}) {
            run(dir_ / "out.gguf", recipe, false, threads);
            EXPECT_EQ(test::read_bytes(dir_ / "out.gguf"), test::read_bytes(dir_ / "naive.gguf"))
                << ggml_type_name(type);
            EXPECT_EQ(std::filesystem::file_size(dir_ / "out.gguf"), recipe.budget.file_bytes);
        }
        const auto written = open_model(dir_ / "out.gguf");
        EXPECT_EQ(written->architecture().n_embd, 96);
        EXPECT_EQ(written->require({TensorRole::kDown, 1}).cols, 80);
        EXPECT_EQ(written->require({TensorRole::kDown, 1}).row_length(), type == GGML_TYPE_Q4_0 ? 96 : 256);
    }
}

TEST_F(PaddedOutput, PaddedColumnsOfASourceAreCopied) {
    const Recipe first = test::tiny_recipe_with_padded_columns(
        *open_model(model_), {.type = GGML_TYPE_Q6_K, .embedding_type = GGML_TYPE_Q6_K});
    run(dir_ / "first.gguf", first, false);
    const Recipe again = test::tiny_recipe_with_padded_columns(
        *open_model(dir_ / "first.gguf"), {.type = GGML_TYPE_Q6_K, .embedding_type = GGML_TYPE_Q3_K});
    compress({.model = dir_ / "first.gguf", .output = dir_ / "again.gguf"}, again,
             *make_progress(ProgressStyle::kQuiet));
    for (const char* name : {"blk.0.attn_q.weight", "blk.1.attn_output.weight", "blk.1.ffn_down.weight"})
        EXPECT_EQ(test::tensor_bytes(dir_ / "again.gguf", name), test::tensor_bytes(dir_ / "first.gguf", name)) << name;
    EXPECT_EQ(open_model(dir_ / "again.gguf")->require({TensorRole::kTokenEmbedding}).type, GGML_TYPE_Q3_K);
}

TEST_F(PaddedOutput, PaddedColumnsAreFedBackAndCompensated) {
    const Recipe recipe = test::tiny_recipe_with_padded_columns(
        *open_model(model_), {.kept_heads = {{1, 3}, {0, 1, 2, 3}}, .type = GGML_TYPE_Q3_K});
    expect_compensated_and_fed_back(recipe);
    const std::string stored = test::tensor_bytes(dir_ / "one.gguf", "blk.0.attn_output.weight");
    std::vector<float> values(96 * 256);
    ggml_get_type_traits(GGML_TYPE_Q3_K)->to_float(stored.data(), values.data(), std::ssize(values));
    for (std::size_t i = 0; i < values.size(); ++i)
        if (i % 256 >= 64) {
            ASSERT_EQ(values[i], 0.0f) << i;
        }
}

TEST_F(PaddedOutput, ChannelsOfZerosHaveNoImportance) {
    const auto model = open_model(model_);
    const OutputLayout layout = lay_out(*model, test::tiny_recipe(*model, options_), {});
    Statistics statistics;
    statistics.matrices["blk.0.ffn_down.weight"] = {std::vector<double>(80, 6.0), 2};
    for (const OutputTensor& tensor : layout.tensors) {
        if (tensor.spec.name != "blk.0.ffn_down.weight") continue;
        std::vector<float> expected(80, 3.0f);
        expected.resize(96, 0.0f);
        EXPECT_EQ(importance_of(tensor, &statistics), expected);
    }
    const OutputLayout of_columns =
        lay_out(*model, test::tiny_recipe_with_padded_columns(*model, {.type = GGML_TYPE_Q4_K}), {});
    for (const OutputTensor& tensor : of_columns.tensors) {
        if (tensor.spec.name != "blk.0.ffn_down.weight") continue;
        std::vector<float> expected(80, 3.0f);
        expected.resize(256, 0.0f);
        EXPECT_EQ(importance_of(tensor, &statistics), expected);
    }
}

}  // namespace
}  // namespace plasticity
