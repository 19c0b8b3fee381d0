// A trial in memory against the file that compress writes: the same divergence.

#include <gtest/gtest.h>

#include "artifact/gate_gradients.h"
#include "artifact/recipe.h"
#include "artifact/statistics.h"
#include "engine/evaluate.h"
#include "engine/tokenizer.h"
#include "integration/real_model.h"
#include "io/corpus.h"
#include "plan/trial_model.h"
#include "plasticity/compress.h"
#include "plasticity/plan.h"
#include "plasticity/score.h"
#include "support/temp_dir.h"
#include "support/tiny_model.h"

namespace plasticity {
namespace {

class TrialAgainstFile : public testing::Test {
protected:
    void SetUp() override {
        save_gate_gradients(score({.model = options_.model,
                                   .data = {test::source("src/io/hub_name.cpp")},
                                   .statistics = options_.statistics,
                                   .max_tokens = 128,
                                   .chunk = 64,
                                   .threads = 1},
                                  test::quiet()),
                            options_.scores, Overwrite::kRefuse);
    }

    /// Mean divergences of the trial and of the file.
    std::pair<double, double> measure() {
        const Recipe recipe = plan(options_, test::quiet());
        compress({.model = options_.model,
                  .output = dir_ / "out.gguf",
                  .statistics = options_.statistics,
                  .overwrite = true,
                  .threads = 1},
                 recipe, test::quiet());
        const std::vector<std::filesystem::path> text_files{test::source("src/io/hub_cache.cpp")};
        const auto base = open_model(options_.model);
        const Statistics statistics = load_statistics(*options_.statistics, base->architecture());
        const EvaluationText text =
            prepare_evaluation(Tokenizer(base->tokenizer()), read_plain_text(text_files), 64, 8);
        TrialModel trial(*base, statistics, text, {.threads = 1}, test::quiet());
        trial.set(recipe);
        Decoder base_decoder(*base, {.context_length = 64, .threads = 1}, test::quiet());
        Decoder decoder(*open_model(dir_ / "out.gguf"), {.context_length = 64, .threads = 1}, test::quiet());
        return {mean_divergence(trial.divergence()).mean, compare(base_decoder, decoder, text, test::quiet()).mean_kl};
    }

    test::TempDir dir_;
    PlanOptions options_{
        .model = test::write_tiny_gguf(
            dir_ / "tiny.gguf",
            {.n_embd = 192, .n_head = 8, .n_head_kv = 4, .head_dim = 24, .n_ff = 512, .matrix_type = GGML_TYPE_F16}),
        .scores = dir_ / "scores.json",
        .statistics = dir_ / "stats.gguf",
        .target_bits_per_weight = 12,
        .prune = {PruneRequest::Kind::kOff},
        .align = "none",
        .threads = 1};
};

TEST_F(TrialAgainstFile, IsTheSameToTheLastBitWhereRowsKeepTheirColumns) {
    options_.tensor_types = {{"ffn_down", "q3_K"}, {"attn_v", "q5_0"}, {".*", "q4_0"}};
    const auto [trial, file] = measure();
    EXPECT_GT(trial, 1e-4);
    EXPECT_EQ(trial, file);
}

// Activations are rounded for blocks, and not for what the blocks stand for in F16.
TEST_F(TrialAgainstFile, IsNearlyTheSameWithPaddingAndWithoutHeads) {
    options_.align = "pad";
    options_.tensor_types = {{"ffn_down", "q3_K"}, {".*", "q4_K"}};
    const auto [padded, padded_file] = measure();
    EXPECT_NEAR(padded / padded_file, 1, 0.1);

    options_.align = "none";
    options_.prune = {PruneRequest::Kind::kKvGroups, 2};
    options_.tensor_types = {{"ffn_down", "q3_K"}, {".*", "q4_0"}};
    const auto [pruned, pruned_file] = measure();
    EXPECT_NEAR(pruned / pruned_file, 1, 0.1);
}

}  // namespace
}  // namespace plasticity
