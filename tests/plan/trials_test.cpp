#include <gtest/gtest.h>

#include <cmath>
#include <fstream>
#include <limits>

#include "artifact/output_layout.h"
#include "artifact/recipe.h"
#include "artifact/statistics.h"
#include "core/error.h"
#include "plan/calibration.h"
#include "plan/curvature_support.h"
#include "plan/refine.h"
#include "plan/synthetic_model.h"
#include "plasticity/plan.h"
#include "support/expect_error.h"

namespace plasticity {
namespace {

TEST(CalibratedKl, StartsAtThePlanAndFollowsTheCurve) {
    const Calibration calibration{.positions = 1,
                                  .ceiling = 2,
                                  .rate = 0.5,
                                  .relative_error = 0.3,
                                  .corners = {{"q8_0", 0.01, 0.01, 0}, {"the plan", 1, 0.7, 0.28}}};
    EXPECT_DOUBLE_EQ(calibrated_kl(calibration, 1).value, 0.7);
    EXPECT_DOUBLE_EQ(calibrated_kl(calibration, 1).standard_error, 0.7 * 0.5) << "3, 4, 5";
    EXPECT_DOUBLE_EQ(calibrated_kl(calibration, 2).value, 0.7 * (1 - std::exp(-1.0)) / (1 - std::exp(-0.5)));
}

TEST(Falls, IsByMoreThanSoManyStandardErrors) {
    EXPECT_TRUE(falls({-0.2, 0.09}, 2));
    EXPECT_FALSE(falls({-0.2, 0.11}, 2));
    EXPECT_TRUE(falls({-0.2, 0.11}, 1));
    EXPECT_FALSE(falls({0.2, 0.1}, 1));
    EXPECT_FALSE(falls({0, 0}, 1));
}

/// A tiny model that is planned with trials.
class Trials : public testing::Test {
protected:
    void SetUp() override {
        options_.model = test::write_tiny_gguf(
            dir_ / "tiny.gguf", {.n_embd = 64, .n_head = 8, .n_head_kv = 4, .n_ff = 256, .matrix_type = GGML_TYPE_F16});
        options_.scores = dir_ / "scores.json";
        options_.statistics = dir_ / "stats.gguf";
        options_.target_bits_per_weight = 10;
        options_.prune.kind = PruneRequest::Kind::kOff;
        options_.threads = 1;
        const auto model = open_model(options_.model);
        save_gate_gradients(test::gradients_of(model->architecture(), test::mixed_scores(model->architecture())),
                            options_.scores, Overwrite::kRefuse);
        save_statistics(test::synthetic_curvature(*model), *options_.statistics, Overwrite::kRefuse);
        std::ofstream text(dir_ / "text.txt");
        for (int i = 0; i < 400; ++i) text << static_cast<char>('!' + i * i % 90);
        text.close();
        options_.trials = {.data = {dir_ / "text.txt"}, .tokens = 128};
    }

    Recipe run() const { return plan(options_, test::quiet()); }

    test::TempDir dir_;
    PlanOptions options_;
};

TEST_F(Trials, CalibrationPredictsWhatWasMeasured) {
    options_.trials.calibrate = true;
    const Recipe recipe = run();
    ASSERT_TRUE(recipe.calibration && recipe.predicted_kl && recipe.predicted_kl_error && recipe.predicted_damage);
    const std::vector<CalibrationCorner>& corners = recipe.calibration->corners;
    ASSERT_GE(corners.size(), 4u);
    EXPECT_EQ(corners.front().plan, "every matrix q8_0");
    EXPECT_EQ(corners.back().plan, "the plan");
    for (std::size_t i = 0; i + 2 < corners.size(); ++i) {
        EXPECT_LT(corners[i].predicted_damage, corners[i + 1].predicted_damage);
        EXPECT_LT(corners[i].measured_kl, corners[i + 1].measured_kl);
    }
    EXPECT_EQ(recipe.calibration->positions, 128 - 1 - 64);
    // The recipe's own text takes some bytes from the plan that was tried.
    EXPECT_NEAR(*recipe.predicted_kl / corners.back().measured_kl, 1, 0.5);
    EXPECT_GT(*recipe.predicted_kl_error, 0);
    EXPECT_EQ(recipe.budget.file_bytes, lay_out(*open_model(options_.model), recipe, {}).file.file_bytes());
    EXPECT_LE(recipe.budget.file_bytes, recipe.budget.limit_bytes);
    EXPECT_EQ(recipe_from_json(recipe_to_json(recipe), "text"), recipe);
    options_.threads = 3;
    EXPECT_EQ(recipe_to_json(run()), recipe_to_json(recipe));
}

TEST_F(Trials, RefinementIsTheSameForTheSameTrials) {
    options_.trials.refine_trials = 8;
    const Recipe recipe = run();
    ASSERT_TRUE(recipe.refinement);
    const Refinement& record = *recipe.refinement;
    EXPECT_EQ(record.trials, 8);
    EXPECT_EQ(record.positions, 64 - 1 - 8);
    EXPECT_GT(record.kl_before, 0);
    for (const RefinedChange& change : record.changes) EXPECT_LT(change.difference, -2 * change.standard_error);
    if (record.kept) {
        EXPECT_LT(record.kl_after, record.kl_before - record.standard_error);
    }
    EXPECT_LE(recipe.budget.file_bytes, recipe.budget.limit_bytes);
    EXPECT_EQ(recipe.budget.file_bytes, lay_out(*open_model(options_.model), recipe, {}).file.file_bytes());
    options_.threads = 3;
    EXPECT_EQ(recipe_to_json(run()), recipe_to_json(recipe));
}

/// Interrupted after some trials: what the log holds is believed, and the rest comes out as it would have.
TEST_F(Trials, ContinueToTheSameRecipe) {
    options_.trials.refine_trials = 10;
    const std::string whole = recipe_to_json(run());
    options_.trials.checkpoint = dir_ / "recipe.json.checkpoint";
    options_.trials.refine_trials = 4;
    run();
    options_.trials.refine_trials = 10;
    options_.trials.resume = true;
    EXPECT_EQ(recipe_to_json(run()), whole);
    EXPECT_EQ(recipe_to_json(run()), whole) << "with nothing left to try";
}

TEST_F(Trials, RefuseWhatTheyCannotDo) {
    const PlanOptions good = options_;
    const auto refused = [&](ErrorKind kind, const std::string& words, const auto& change) {
        options_ = good;
        options_.trials.calibrate = true;
        change(options_);
        test::expect_error(kind, {words}, [&] { run(); });
    };
    refused(ErrorKind::kUsage, "without --data", [](PlanOptions& o) { o.trials.data.clear(); });
    refused(ErrorKind::kUsage, "--data without --calibrate or --refine",
            [](PlanOptions& o) { o.trials.calibrate = false; });
    refused(ErrorKind::kUsage, "--policy tiers", [](PlanOptions& o) { o.policy = "tiers"; });
    refused(ErrorKind::kUsage, "--curvature-every", [](PlanOptions& o) { o.statistics.reset(); });
    refused(ErrorKind::kUsage, "error feedback", [](PlanOptions& o) { o.gram = "gram.gguf"; });
    refused(ErrorKind::kMissing, "none.txt", [](PlanOptions& o) { o.trials.data = {"none.txt"}; });
    refused(ErrorKind::kUsage, "half to confirm by", [](PlanOptions& o) {
        o.trials.refine_trials = 1;
        o.trials.tokens = 500;
    });
}

}  // namespace
}  // namespace plasticity
