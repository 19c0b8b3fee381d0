#include "plasticity/plan.h"

#include <gtest/gtest.h>

#include <functional>
#include <limits>

#include "artifact/output_layout.h"
#include "artifact/statistics.h"
#include "artifact/type_names.h"
#include "core/error.h"
#include "core/progress.h"
#include "plan/curvature_support.h"
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
    refused([](PlanOptions& o) { o.align = "left"; }, "expected auto, none, pad or columns");
    refused([](PlanOptions& o) { o.align = "columns"; }, "--allow-own plans it all the same");
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
    refused([](PlanOptions& o) { o.prune = {PruneRequest::Kind::kOff, 0, 1}; }, "--prune ffn=1; expected a share");
    refused([](PlanOptions& o) { o.prune = {PruneRequest::Kind::kAuto, 0, 0.1}; }, "--prune auto with ffn");
    refused([](PlanOptions& o) { o.prune = {PruneRequest::Kind::kOff, 0, 0.1}; }, "expected --stats of score");
}

TEST_F(Plan, RefusesTypesThatNoMatrixWouldGet) {
    const auto refused = [&](const std::string& pattern, std::string_view words) {
        options.tensor_types = {{".*", "f16"}, {pattern, "q8_0"}};
        expect_refused(ErrorKind::kUsage, words);
    };
    refused("attn_w",
            "--tensor-type \"attn_w=q8_0\" matches no matrix; expected a pattern for names such as "
            "token_embd.weight, blk.0.ffn_down.weight, blk.1.ffn_down.weight");
    refused("attn_norm", "blk.0.attn_norm.weight is no matrix and stays in F32");
    refused("1.*q_proj", "model.layers.1.self_attn.q_proj.weight goes by the name of blk.1.attn_q.weight here");
    refused("^output", "token_embd.weight is the output matrix of this model too");
    options.tensor_types = {{"ATTN_Q", "q8_0"}, {".*", "f16"}};
    const Recipe recipe = run();
    EXPECT_EQ(recipe.assignment_for("model.layers.1.self_attn.q_proj.weight")->type, GGML_TYPE_Q8_0);
    EXPECT_EQ(recipe.assignment_for("model.layers.1.self_attn.k_proj.weight")->type, GGML_TYPE_F16);
}

TEST_F(Plan, RefusesTypesBelowTheFloor) {
    options.tensor_types = {{"ffn_down", "q2_K"}};
    expect_refused(ErrorKind::kUsage,
                   "\"ffn_down=q2_K\" is below the floor: 2.625 bits per weight; expected at least the "
                   "3.438 of q3_K. --floor q2_K allows it");
    options.floor_type = "q2_K";
    EXPECT_EQ(run().assignment_for("model.layers.0.mlp.down_proj.weight")->type, GGML_TYPE_Q2_K);
    options.floor_type = "q3_K_S";
    options.tensor_types = {{"ffn_down", "iq3_s"}};
    EXPECT_EQ(run().assignment_for("model.layers.0.mlp.down_proj.weight")->type, GGML_TYPE_IQ3_S) << "as many bits";
}

/// What a run would otherwise find out after hours of scoring.
TEST_F(Plan, ChecksItsOptionsBeforeThereAreScores) {
    options.scores = dir / "none.json";
    EXPECT_NO_THROW(check_plan_options(options));
    options.tensor_types = {{"attn_w", "q8_0"}};
    EXPECT_THROW(check_plan_options(options), Error);
    options.tensor_types.clear();
    options.device = "toaster";
    EXPECT_THROW(check_plan_options(options), Error);
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

/// The same model with statistics that hold curvature.
class OptimalPlan : public Plan {
protected:
    void SetUp() override {
        Plan::SetUp();
        options.device.reset();
        options.statistics = dir / "stats.gguf";
        options.threads = 1;
        set_statistics([](Statistics&) {});
        largest = file_of("f16", "f16");
        smallest = file_of("q3_K_S", "q4_0");
    }

    void set_statistics(const std::function<void(Statistics&)>& change) {
        const auto model = open_model(options.model);
        Statistics statistics = test::synthetic_curvature(*model);
        change(statistics);
        save_statistics(statistics, *options.statistics, Overwrite::kReplace);
    }

    /// Bytes with every matrix at one type: `narrow` where rows are no multiple of 256.
    std::uint64_t file_of(const std::string& wide, const std::string& narrow) {
        PlanOptions uniform = options;
        uniform.target_bytes = 1u << 30;
        uniform.tensor_types = {{"ffn_down", wide}, {".*", narrow}};
        return plan(uniform, *progress).budget.file_bytes;
    }

    std::uint64_t largest = 0, smallest = 0;
};

TEST_F(OptimalPlan, IsTheDefaultWhereStatisticsHoldCurvature) {
    options.target_bytes = (largest + smallest) / 2;
    EXPECT_EQ(run().policy, "optimal");
    options.policy = "tiers";
    EXPECT_EQ(run().policy, "tiers");
    options.policy = "auto";
    set_statistics([](Statistics& statistics) { statistics.curvature.erase("blk.1.ffn_up.weight"); });
    EXPECT_EQ(run().policy, "tiers");
    options.policy = "optimal";
    expect_refused(ErrorKind::kUsage, "--curvature-every");
}

TEST_F(OptimalPlan, ScalesChannelsWhereItIsAskedTo) {
    set_statistics([](Statistics& statistics) {  // every eighth channel carries far more than those beside it
        for (auto& [name, channels] : statistics.matrices) {
            for (std::size_t i = 0; i < channels.sum_of_squares.size(); ++i)
                channels.sum_of_squares[i] = i % 8 == 0 ? 1000.0 : 1.0;
            statistics.curvature.at(name).columns = channels.sum_of_squares;
        }
    });
    options.target_bytes = (largest + smallest) / 2;
    const Recipe without = run();
    EXPECT_EQ(without.equalization, 0);
    options.equalize = true;
    const Recipe with = run();
    EXPECT_EQ(with.equalization, 0.5);
    EXPECT_LT(*with.predicted_kl, *without.predicted_kl);
    EXPECT_NE(explain(with).find("channels scaled"), std::string::npos);
    options.statistics.reset();
    options.policy = "tiers";
    expect_refused(ErrorKind::kUsage, "--stats");
}

TEST_F(OptimalPlan, FillsTheFileAndNeverExceedsIt) {
    const auto model = open_model(options.model);
    double last = std::numeric_limits<double>::infinity();
    for (int step = 1; step < 10; ++step) {
        options.target_bytes = smallest + (largest - smallest) * static_cast<std::uint64_t>(step) / 10;
        const Recipe recipe = run();
        EXPECT_LE(recipe.budget.file_bytes, *options.target_bytes);
        // Of so few matrices a step is some percent of the file; how near a model comes is Fit's test.
        EXPECT_GT(recipe.budget.file_bytes, *options.target_bytes - *options.target_bytes / 20);
        EXPECT_EQ(recipe.budget.file_bytes, lay_out(*model, recipe, {}).file.file_bytes());
        ASSERT_TRUE(recipe.predicted_kl);
        EXPECT_LE(*recipe.predicted_kl, last);  // more bytes never hurt
        last = *recipe.predicted_kl;
        EXPECT_EQ(recipe_from_json(recipe_to_json(recipe), "text"), recipe);
    }
}

TEST_F(OptimalPlan, GivesMoreBitsToWhatBendsTheLossMore) {
    options.target_bytes = (largest + smallest) / 2;
    const auto bits = [&](const Recipe& recipe, const char* name) {
        return bits_per_weight(recipe.assignment_for(name)->type);
    };
    const char* const up = "model.layers.0.mlp.up_proj.weight";
    set_statistics([](Statistics& statistics) {
        for (double& column : statistics.curvature.at("blk.0.ffn_up.weight").columns) column *= 1000;
    });
    const double more = bits(run(), up);
    set_statistics([](Statistics& statistics) {
        for (double& column : statistics.curvature.at("blk.0.ffn_up.weight").columns) column /= 1000;
    });
    EXPECT_GT(more, bits(run(), up));
}

TEST_F(OptimalPlan, PadsColumnsOfSingleMatrices) {
    options.align = "columns";
    options.require_stock = false;
    options.target_bytes = largest;
    options.tensor_types = {{"blk.0.attn_q", "q4_K"}};
    const Recipe recipe = run();
    EXPECT_EQ(recipe.assignment_for("model.layers.0.self_attn.q_proj.weight")->padded_columns, 256);
    EXPECT_FALSE(recipe.stock);
    const auto model = open_model(options.model);
    EXPECT_EQ(recipe.budget.file_bytes, lay_out(*model, recipe, {}).file.file_bytes());
    EXPECT_EQ(recipe_from_json(recipe_to_json(recipe), "text"), recipe);
    options.require_stock = true;
    expect_refused(ErrorKind::kUsage, "--allow-own");
}

TEST_F(OptimalPlan, DoesNotDependOnThreads) {
    options.target_bytes = (largest + smallest) / 2;
    const std::string one = recipe_to_json(run());
    options.threads = 3;
    EXPECT_EQ(recipe_to_json(run()), one);
}

TEST_F(OptimalPlan, SaysWhatEveryChoiceCostsAndWhatWouldBeNext) {
    options.target_bytes = (largest + smallest) / 2;
    const std::string reason = run().assignment_for("model.layers.0.mlp.up_proj.weight")->reason;
    for (const char* part : {"measured damage ", " nats per token in all", "bits per weight", "; above ", "; below "})
        EXPECT_NE(reason.find(part), std::string::npos) << reason;
}

TEST_F(OptimalPlan, PrunesWhatCostsNothingAndKeepsWhatCosts) {
    options.target_bytes = (largest + smallest) / 2;
    const auto scale_gates = [&](double factor) {
        set_statistics([&](Statistics& statistics) {
            for (auto& [name, curvature] : statistics.curvature)
                for (double& gate : curvature.gates) gate *= factor;
        });
    };
    scale_gates(0);
    EXPECT_TRUE(run().prunes());
    scale_gates(1e6);
    const Recipe whole = run();
    EXPECT_FALSE(whole.prunes());
    EXPECT_NE(whole.pruning.find("0 of 16 query heads removed; the next would be "), std::string::npos)
        << whole.pruning;
    EXPECT_NE(explain(whole).find(whole.pruning), std::string::npos);
    EXPECT_EQ(recipe_from_json(recipe_to_json(whole), "text"), whole);
    options.prune = {PruneRequest::Kind::kKvGroups, 1};
    const Recipe forced = run();
    EXPECT_TRUE(forced.prunes());
    EXPECT_GT(*forced.predicted_kl, 1);  // which the plan owns up to
}

TEST_F(OptimalPlan, RemovesTheChannelsThatWereAskedFor) {
    options.model = test::write_tiny_gguf(dir / "wide.gguf", {.n_embd = 64, .n_head = 8, .n_head_kv = 4, .n_ff = 1024});
    set_statistics([](Statistics&) {});
    options.target_bytes = file_of("q4_K", "q4_0");
    options.prune = {PruneRequest::Kind::kKvGroups, 1, 0.4};
    for (const char* policy : {"optimal", "tiers"}) {
        options.policy = policy;
        const Recipe recipe = run();
        const auto model = open_model(options.model);
        const OutputLayout layout = lay_out(*model, recipe, {});
        EXPECT_EQ(layout.file.file_bytes(), recipe.budget.file_bytes);
        EXPECT_LE(recipe.budget.file_bytes, *options.target_bytes);
        EXPECT_EQ(layout.architecture.name, "deci");
        EXPECT_EQ(layout.architecture.layers[0].n_head_kv, 3);
        EXPECT_EQ(layout.architecture.layers[0].n_ff + layout.architecture.layers[1].n_ff, 2048 - 768);
        EXPECT_NE(recipe.pruning.find("768 of 2048 feed-forward channels removed"), std::string::npos)
            << recipe.pruning;
        EXPECT_NE(explain(recipe).find("768 feed-forward channels removed"), std::string::npos) << explain(recipe);
        EXPECT_NE(recipe.assignment_for("model.layers.0.mlp.up_proj.weight")->reason.find("channels removed, "),
                  std::string::npos);
        EXPECT_EQ(recipe_to_json(run()), recipe_to_json(recipe));
        std::uint64_t feed_forward = 0;
        for (const OutputTensor& tensor : layout.tensors)
            if (tensor.spec.name.find("ffn_") != std::string::npos && is_matrix(tensor.source->id))
                feed_forward += tensor.spec.bytes();
        EXPECT_EQ(recipe.budget.mlp_bytes, feed_forward);
    }
    options.policy = "optimal";
    const double with = *run().predicted_kl;
    options.prune.channel_share = 0;
    options.target_bytes = 1u << 30;
    EXPECT_LT(*run().predicted_kl, with);
}

// 640 columns of o are no multiple of 256; without a head of each group they are 512, which are.
TEST_F(OptimalPlan, PrunesWhereOtherBlocksThenFit) {
    options.model = test::write_tiny_gguf(dir / "other.gguf",
                                          {.n_embd = 64, .n_head = 10, .n_head_kv = 2, .head_dim = 64, .n_ff = 256});
    const auto model = open_model(options.model);
    options.scores = dir / "other.json";
    save_gate_gradients(test::gradients_of(model->architecture(), test::mixed_scores(model->architecture())),
                        options.scores, Overwrite::kRefuse);
    set_statistics([](Statistics& statistics) {
        for (auto& [name, curvature] : statistics.curvature)
            for (double& gate : curvature.gates) gate = 0;
    });
    options.target_bytes = (file_of("f16", "f16") + file_of("q3_K_S", "q4_0")) / 2;
    const Recipe recipe = run();
    EXPECT_TRUE(recipe.prunes());
    EXPECT_EQ(lay_out(*model, recipe, {}).file.file_bytes(), recipe.budget.file_bytes);
}

TEST_F(OptimalPlan, ChecksThatCurvatureBelongs) {
    options.target_bytes = largest;
    set_statistics([](Statistics& statistics) { statistics.curvature.at("blk.0.attn_q.weight").rows.pop_back(); });
    expect_refused(ErrorKind::kMalformed, "curvature of blk.0.attn_q.weight");
    set_statistics(
        [](Statistics& statistics) { statistics.curvature.at("blk.0.attn_output.weight").gates.pop_back(); });
    expect_refused(ErrorKind::kMalformed, "gates");
    set_statistics([](Statistics& statistics) { statistics.curvature.at("blk.0.ffn_down.weight").gates = {1, 2}; });
    expect_refused(ErrorKind::kMalformed, "blk.0.ffn_down.weight has 2 gates; the layer has 256 channels");
    set_statistics([](Statistics& statistics) { statistics.curvature["blk.9.attn_q.weight"] = {{1}, {1}, {}, 1}; });
    expect_refused(ErrorKind::kMalformed, "does not have");
}

}  // namespace
}  // namespace plasticity
