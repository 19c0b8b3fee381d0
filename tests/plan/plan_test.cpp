#include "plasticity/plan.h"

#include <gtest/gtest.h>

#include "artifact/output_layout.h"
#include "artifact/statistics.h"
#include "core/error.h"
#include "core/progress.h"
#include "plan/explain.h"
#include "plan/synthetic_model.h"
#include "support/temp_dir.h"
#include "support/tiny_model.h"

namespace plasticity {
namespace {

/// A tiny model and scores for it, on disk.
class Plan : public ::testing::Test {
protected:
    void SetUp() override {
        options.model =
            test::write_tiny_gguf(dir / "tiny.gguf", {.n_embd = 64, .n_head = 8, .n_head_kv = 4, .n_ff = 256});
        options.scores = dir / "scores.json";
        options.device = "16gb";
        const auto model = open_model(options.model);
        save_gate_gradients(test::gradients_of(model->architecture(), test::mixed_scores(model->architecture())),
                            options.scores, Overwrite::kRefuse);
    }

    Recipe run() { return plan(options, *progress); }
    void expect_refused(ErrorKind kind, std::string_view words) {
        try {
            run();
            ADD_FAILURE() << "went through; expected: " << words;
        } catch (const Error& error) {
            EXPECT_EQ(error.kind(), kind) << error.what();
            EXPECT_NE(std::string(error.what()).find(words), std::string::npos) << error.what();
        }
    }

    test::TempDir dir;
    PlanOptions options;
    std::unique_ptr<Progress> progress = make_progress(ProgressStyle::kQuiet);
};

TEST_F(Plan, MakesARecipeThatTheModelTakes) {
    const Recipe recipe = run();
    const auto model = open_model(options.model);
    EXPECT_EQ(lay_out(*model, recipe, {}).file.file_bytes(), recipe.budget.file_bytes);
    EXPECT_EQ(recipe.policy, "tiers");
    EXPECT_EQ(recipe.context_length, 256);  // the model's own is shorter than 4096
    EXPECT_EQ(recipe.device->effective_bytes(), 11'000'000'000u);
    EXPECT_EQ(recipe_to_json(run()), recipe_to_json(recipe));
}

TEST_F(Plan, ExplainsItself) {
    const std::string text = explain(run());
    for (const char* part : {"layer", "heads", "KV cache, 256 tokens f16", "predicted damage", "embedding"})
        EXPECT_NE(text.find(part), std::string::npos) << part;
}

TEST_F(Plan, RefusesContradictoryRequests) {
    options.target_bytes = 1000;
    expect_refused(ErrorKind::kUsage, "exactly one");
    options.device.reset();
    expect_refused(ErrorKind::kInfeasible, "smallest file");
    options.target_bytes.reset();
    expect_refused(ErrorKind::kUsage, "exactly one");
    options.target_bits_per_weight = -1;
    expect_refused(ErrorKind::kUsage, "--target-bpw");
}

TEST_F(Plan, RefusesWhatItDoesNotKnow) {
    const PlanOptions good = options;
    const auto refused = [&](auto change, std::string_view words) {
        options = good;
        change(options);
        expect_refused(ErrorKind::kUsage, words);
    };
    refused([](PlanOptions& o) { o.policy = "optimal"; }, "use --policy tiers");
    refused([](PlanOptions& o) { o.policy = "best"; }, "unknown policy");
    refused([](PlanOptions& o) { o.device = "toaster"; }, "macbookair");
    refused([](PlanOptions& o) { o.floor_type = "q9"; }, "--floor");
    refused([](PlanOptions& o) { o.kv_type = "q6_K"; }, "--kv-type");
    refused([](PlanOptions& o) { o.kv_type = "q8_0"; }, "do not divide");  // heads of 8
    refused([](PlanOptions& o) { o.context_length = -1; }, "--context");
    refused([](PlanOptions& o) { o.tensor_types = {{"(", "f16"}}; }, "no regular expression");
    refused([](PlanOptions& o) { o.tensor_types = {{".*", "f17"}}; }, "is no type");
    refused([](PlanOptions& o) { o.prune = {PruneRequest::Kind::kKvGroups, 0.5}; }, "whole number");
    refused([](PlanOptions& o) { o.prune = {PruneRequest::Kind::kKvGroups, 3}; }, "at most 2 can go");
    refused([](PlanOptions& o) { o.prune = {PruneRequest::Kind::kHeads, 1}; }, "share");
}

TEST_F(Plan, RefusesScoresOfAnotherModel) {
    options.model = test::write_tiny_gguf(dir / "other.gguf", {.n_layer = 3});
    expect_refused(ErrorKind::kMalformed, "2 layers (\"tiny\"); the model \"tiny\" has 3");
    options.model = test::write_tiny_gguf(dir / "other2.gguf", {.n_head = 4, .n_head_kv = 2});
    expect_refused(ErrorKind::kMalformed, "layer 1: 8 heads on 4 KV heads; the model has 4 on 2");
}

TEST_F(Plan, ChecksThatStatisticsBelong) {
    Statistics statistics;
    statistics.matrices["blk.0.attn_q.weight"] = {std::vector<double>(64, 1.0), 10};
    statistics.matrices["output.weight"] = {std::vector<double>(64, 1.0), 10};  // tied: stands for the embedding
    save_statistics(statistics, dir / "stats.gguf", Overwrite::kReplace);
    options.statistics = dir / "stats.gguf";
    EXPECT_NO_THROW(run());
    statistics.matrices["blk.0.attn_q.weight"].sum_of_squares.pop_back();
    statistics.matrices["blk.9.attn_q.weight"] = {{1.0}, 10};
    save_statistics(statistics, dir / "stats.gguf", Overwrite::kReplace);
    expect_refused(ErrorKind::kMalformed, "blk.9.attn_q.weight");
    expect_refused(ErrorKind::kMalformed, "63 channels; the model's has 64");
}

TEST_F(Plan, MissingInputsAreMissing) {
    options.scores = dir / "none.json";
    expect_refused(ErrorKind::kMissing, "none.json");
}

}  // namespace
}  // namespace plasticity
