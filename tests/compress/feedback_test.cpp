// compress --gram: error feedback in matrices whose inputs are known.

#include <gtest/gtest.h>

#include <fstream>

#include "compress/written_tensors.h"
#include "core/progress.h"
#include "io/gguf_reader.h"
#include "plasticity/compress.h"
#include "quant/feedback_factor.h"
#include "support/expect_error.h"
#include "support/file_content.h"
#include "support/temp_dir.h"
#include "support/tiny_gram.h"
#include "support/tiny_model.h"
#include "support/tiny_recipe.h"

namespace plasticity {
namespace {

using Path = std::filesystem::path;
using test::tensor_bytes;

/// Two blocks; the inputs of q/k/v, o, gate/up are known, those of down are not.
class Feedback : public testing::Test {
protected:
    Feedback() {
        test::write_tiny_gguf(model_, {.n_embd = 64, .n_head = 4, .head_dim = 16, .n_ff = 96});
        std::vector<std::pair<std::string, std::int64_t>> inputs;
        for (const char* block : {"blk.0.", "blk.1."})
            for (const char* owner : {"attn_q.weight", "attn_output.weight", "ffn_gate.weight"})
                inputs.emplace_back(std::string(block) + owner, 64);
        test::write_tiny_gram(gram_, inputs);
        recipe_ = test::tiny_recipe(*open_model(model_), {.type = GGML_TYPE_Q4_0, .embedding_type = GGML_TYPE_Q8_0});
    }

    CompressResult run(const std::string& output, const Recipe& recipe, bool with_gram = true, int threads = 1) const {
        const CompressOptions options{.model = model_,
                                      .output = dir_ / output,
                                      .gram = with_gram ? std::optional(gram_) : std::nullopt,
                                      .overwrite = true,
                                      .threads = threads};
        return compress(options, recipe, *make_progress(ProgressStyle::kQuiet));
    }

    test::TempDir dir_;
    Path model_ = dir_ / "in.gguf", gram_ = dir_ / "gram.gguf";
    Recipe recipe_;
};

TEST_F(Feedback, ChangesTheMatricesWhoseInputsAreKnown) {
    const CompressResult result = run("with.gguf", recipe_);
    EXPECT_EQ(result.with_error_feedback, 2u * 6u);
    ASSERT_TRUE(result.output_error_ratio.has_value());
    EXPECT_LT(*result.output_error_ratio, 0.8);
    EXPECT_GT(*result.output_error_ratio, 0.0);
    const CompressResult plain = run("without.gguf", recipe_, false);
    EXPECT_EQ(plain.with_error_feedback, 0u);
    EXPECT_FALSE(plain.output_error_ratio.has_value());

    const auto changes = [&](const std::string& name) {
        return tensor_bytes(dir_ / "with.gguf", name) != tensor_bytes(dir_ / "without.gguf", name);
    };
    for (const char* name : {"blk.0.attn_q.weight", "blk.0.attn_k.weight", "blk.0.attn_v.weight",
                             "blk.1.attn_output.weight", "blk.1.ffn_gate.weight", "blk.1.ffn_up.weight"})
        EXPECT_TRUE(changes(name)) << name;
    for (const char* name : {"token_embd.weight", "blk.0.ffn_down.weight", "blk.0.attn_norm.weight"})
        EXPECT_FALSE(changes(name)) << name;
}

TEST_F(Feedback, ARecipeTurnsItOffForATensor) {
    Recipe recipe = recipe_;
    QuantAssignment off = *recipe.assignment_for("model.layers.0.self_attn.k_proj.weight");
    off.pattern = "model.layers.0.self_attn.k_proj.weight";
    off.error_feedback = false;
    recipe.tensor_quant_map.insert(recipe.tensor_quant_map.begin(), off);
    test::settle_file_bytes(*open_model(model_), recipe);
    EXPECT_EQ(recipe_from_json(recipe_to_json(recipe), "test"), recipe);
    EXPECT_EQ(run("off.gguf", recipe).with_error_feedback, 2u * 6u - 1);
    run("with.gguf", recipe_);
    run("without.gguf", recipe_, false);
    EXPECT_EQ(tensor_bytes(dir_ / "off.gguf", "blk.0.attn_k.weight"),
              tensor_bytes(dir_ / "without.gguf", "blk.0.attn_k.weight"));
    EXPECT_EQ(tensor_bytes(dir_ / "off.gguf", "blk.0.attn_v.weight"),
              tensor_bytes(dir_ / "with.gguf", "blk.0.attn_v.weight"));
}

TEST_F(Feedback, TakesInATiedEmbeddingForWhatItDoesAsTheOutputMatrix) {
    test::write_tiny_gram(gram_, {{"token_embd.weight", 64}});
    EXPECT_EQ(run("with.gguf", recipe_).with_error_feedback, 1u);
    run("without.gguf", recipe_, false);
    EXPECT_NE(tensor_bytes(dir_ / "with.gguf", "token_embd.weight"),
              tensor_bytes(dir_ / "without.gguf", "token_embd.weight"));
}

TEST_F(Feedback, GivesTheSameBytesWithAnyNumberOfThreads) {
    run("one.gguf", recipe_, true, 1);
    run("three.gguf", recipe_, true, 3);
    EXPECT_EQ(test::read_bytes(dir_ / "one.gguf"), test::read_bytes(dir_ / "three.gguf"));
}

TEST_F(Feedback, FollowsCompensationWhereHeadsGo) {
    const Recipe pruned =
        test::tiny_recipe(*open_model(model_), {.kept_heads = {{2, 3}, {0, 1, 2, 3}}, .type = GGML_TYPE_Q4_0});
    const CompressResult result = run("pruned.gguf", pruned);
    EXPECT_EQ(result.compensated, 1u);
    EXPECT_EQ(result.with_error_feedback, 2u * 6u);
    Recipe without = pruned;
    for (QuantAssignment& assignment : without.tensor_quant_map) assignment.error_feedback = false;
    test::settle_file_bytes(*open_model(model_), without);
    run("compensated.gguf", without);
    EXPECT_NE(tensor_bytes(dir_ / "pruned.gguf", "blk.0.attn_output.weight"),
              tensor_bytes(dir_ / "compensated.gguf", "blk.0.attn_output.weight"));
}

/// Inputs of 512 channels, whose Gram matrices can be taken apart once.
class FeedbackInLittleMemory : public Feedback {
protected:
    FeedbackInLittleMemory() {
        test::write_tiny_gguf(model_, {.n_embd = 64, .n_head = 4, .head_dim = 16, .n_ff = 512});
        test::write_tiny_gram(gram_, {{"blk.0.attn_q.weight", 64}, {"blk.0.ffn_down.weight", 512}});
        recipe_ = test::tiny_recipe(*open_model(model_), {.type = GGML_TYPE_Q4_0, .embedding_type = GGML_TYPE_Q8_0});
    }

    CompressResult run_within(const std::string& output, std::uint64_t bytes, bool dry_run = false) const {
        const CompressOptions options{.model = model_,
                                      .output = dir_ / output,
                                      .gram = gram_,
                                      .gram_memory_bytes = bytes,
                                      .dry_run = dry_run,
                                      .overwrite = true,
                                      .threads = 2};
        return compress(options, recipe_, *make_progress(ProgressStyle::kQuiet));
    }
};

TEST_F(FeedbackInLittleMemory, TakesWideInputsApartAndSaysSo) {
    const std::uint64_t whole_bytes = FeedbackFactor::building_bytes(512, 512);
    const CompressResult whole = run_within("whole.gguf", whole_bytes);
    EXPECT_EQ(whole.with_error_feedback, 4u);
    EXPECT_EQ(whole.narrowed_by_memory, 0u);
    EXPECT_EQ(whole.left_out_by_memory, 0u);

    for (const bool dry_run : {true, false}) {
        const CompressResult halves = run_within("halves.gguf", whole_bytes - 1, dry_run);
        EXPECT_EQ(halves.with_error_feedback, 4u);
        EXPECT_EQ(halves.narrowed_by_memory, 1u);
        EXPECT_EQ(halves.left_out_by_memory, 0u);
    }
    const std::string narrow = "blk.0.ffn_down.weight", other = "blk.0.attn_q.weight";
    EXPECT_NE(tensor_bytes(dir_ / "halves.gguf", narrow), tensor_bytes(dir_ / "whole.gguf", narrow));
    EXPECT_EQ(tensor_bytes(dir_ / "halves.gguf", other), tensor_bytes(dir_ / "whole.gguf", other));
}

TEST_F(FeedbackInLittleMemory, LeavesOutWhatWouldTakeTooMuchAndSaysSo) {
    const CompressResult none = run_within("none.gguf", FeedbackFactor::building_bytes(512, 256) - 1);
    EXPECT_EQ(none.with_error_feedback, 3u);
    EXPECT_EQ(none.narrowed_by_memory, 0u);
    EXPECT_EQ(none.left_out_by_memory, 1u);
    run("plain.gguf", recipe_, false);
    EXPECT_EQ(tensor_bytes(dir_ / "none.gguf", "blk.0.ffn_down.weight"),
              tensor_bytes(dir_ / "plain.gguf", "blk.0.ffn_down.weight"));
}

TEST_F(FeedbackInLittleMemory, ADryRunReadsNoGramMatrix) {
    std::fstream file(gram_, std::ios::binary | std::ios::in | std::ios::out);
    file.seekp(-4, std::ios::end);
    const float no_square = -1;
    file.write(reinterpret_cast<const char*>(&no_square), sizeof no_square);
    file.close();
    EXPECT_EQ(run_within("dry.gguf", std::uint64_t{1} << 30, true).with_error_feedback, 4u);
    test::expect_error(ErrorKind::kMalformed, {"sum of squares"},
                       [&] { run_within("out.gguf", std::uint64_t{1} << 30); });
    EXPECT_FALSE(std::filesystem::exists(dir_ / "out.gguf"));
}

}  // namespace
}  // namespace plasticity
