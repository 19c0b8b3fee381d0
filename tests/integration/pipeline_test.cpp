// The real line: score, plan, compress, verify, and the result in both engines.

#include <gtest/gtest.h>

#include <iostream>
#include <set>

#include "artifact/gate_gradients.h"
#include "artifact/recipe.h"
#include "artifact/report.h"
#include "integration/real_model.h"
#include "integration/stock_engine.h"
#include "plasticity/compress.h"
#include "plasticity/plan.h"
#include "plasticity/score.h"
#include "plasticity/verify.h"
#include "support/file_content.h"
#include "support/temp_dir.h"

namespace plasticity {
namespace {

namespace fs = std::filesystem;

std::string plan_with(const fs::path& scores, const fs::path& statistics, const fs::path& recipe) {
    const PlanOptions options{.model = test::smollm2(),
                              .scores = scores,
                              .statistics = statistics,
                              .device = "16gb",
                              .prune = {PruneRequest::Kind::kHeads, 0.2},
                              .tensor_types = {{".*", "F16"}}};
    save_recipe(plan(options, test::quiet()), recipe, Overwrite::kReplace);
    return test::read_bytes(recipe);
}

TEST(Pipeline, PrunedModelIsTheSameInBothEngines) {
    const test::TempDir dir;
    const fs::path scores = dir / "gate_gradients.json", statistics = dir / "stats.gguf";
    const fs::path recipe = dir / "recipe.json", output = dir / "pruned.gguf", again = dir / "again.gguf";
    save_gate_gradients(
        score(
            {.model = test::smollm2(), .data = {test::source("src/io")}, .statistics = statistics, .max_tokens = 1024},
            test::quiet()),
        scores, Overwrite::kRefuse);

    const std::string planned = plan_with(scores, statistics, recipe);
    EXPECT_EQ(plan_with(scores, statistics, recipe), planned);

    for (const auto& [path, threads] : {std::pair{output, 1}, std::pair{again, 2}})
        compress({.model = test::smollm2(), .output = path, .statistics = statistics, .threads = threads},
                 load_recipe(recipe), test::quiet());
    EXPECT_TRUE(test::read_bytes(output) == test::read_bytes(again)) << "the output depends on the number of threads";

    const auto model = open_model(output);
    std::set<std::int32_t> head_counts;
    std::int32_t n_heads = 0;
    for (const LayerGeometry& layer : model->architecture().layers) {
        head_counts.insert(layer.n_head);
        n_heads += layer.n_head;
    }
    EXPECT_EQ(model->architecture().name, "deci");
    EXPECT_GT(head_counts.size(), 1u) << "every layer has as many heads";
    EXPECT_LT(n_heads, 30 * 9);

    const Report report = verify({.model = output}, test::quiet());
    for (const Check& check : report.checks) EXPECT_TRUE(check.passed) << check.name << ": " << check.detail;
    EXPECT_TRUE(report.passed());

    const EvaluationText text = test::source_text(*model, 2);
    const double ours = test::own_perplexity(*model, text);
    const double theirs = test::StockEngine(output, 512).perplexity(text);
    EXPECT_NEAR(ours / theirs, 1, 5e-3);
    std::cout << n_heads << " of " << 30 * 9 << " heads stay; perplexity " << ours << ", in stock llama.cpp " << theirs
              << "; it says: " << report.test_output << "\n";
    RecordProperty("perplexity_ratio", std::to_string(ours / theirs));
}

}  // namespace
}  // namespace plasticity
