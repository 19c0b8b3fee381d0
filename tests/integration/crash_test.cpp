// A real compression, killed at random moments and continued. PLASTICITY_TEST_KILLS says how often.

#include <gtest/gtest.h>

#include <iostream>

#include "artifact/recipe.h"
#include "integration/real_model.h"
#include "support/crash_trial.h"
#include "support/tiny_recipe.h"

namespace plasticity {
namespace {

TEST(Crash, KilledRealCompressionsAreContinuedToTheSameBytes) {
    const test::TempDir dir;
    const std::filesystem::path recipe = dir / "recipe.json", target = dir / "out" / "target.gguf";
    std::filesystem::create_directory(target.parent_path());
    // The embedding in F16 is larger than what lies between two marks: runs are continued within it too.
    save_recipe(
        test::tiny_recipe(*open_model(test::smollm2()), {.type = GGML_TYPE_Q8_0, .embedding_type = GGML_TYPE_F16}),
        recipe, Overwrite::kRefuse);
    test::CrashTrial trial({"compress", test::smollm2().string(), "--recipe", recipe.string(), "-o", target.string()},
                           target);
    const int times = test::CrashTrial::repetitions(3);
    const test::CrashSummary summary = trial.kill_often(times);
    std::cout << times << " runs: " << summary.killed << " killed, " << summary.left_part << " left a temporary, "
              << summary.continued << " were continued, " << summary.complete << " were complete\n";
    EXPECT_GT(summary.killed, 0);
}

}  // namespace
}  // namespace plasticity
