// The program killed and interrupted at random moments. PLASTICITY_TEST_KILLS says how often.

#include <gtest/gtest.h>

#include <fstream>
#include <iostream>

#include "artifact/recipe.h"
#include "support/crash_trial.h"
#include "support/tiny_model.h"
#include "support/tiny_recipe.h"

namespace plasticity {
namespace {

namespace fs = std::filesystem;
using Arguments = std::vector<std::string>;

class Crash : public testing::Test {
protected:
    Crash() {
        test::write_tiny_gguf(model_,
                              {.n_layer = 6, .n_embd = 256, .n_head = 8, .n_head_kv = 4, .head_dim = 32, .n_ff = 512});
        const auto model = open_model(model_);
        std::vector<std::vector<std::int32_t>> kept(6, {0, 1, 4, 5});
        kept[2] = {0, 1, 2, 3, 4, 5, 6, 7};
        const Recipe recipe =
            test::tiny_recipe(*model, {.kept_heads = kept, .type = GGML_TYPE_Q4_0, .embedding_type = GGML_TYPE_Q8_0});
        save_recipe(recipe, recipe_, Overwrite::kRefuse);
        fs::create_directory(target_.parent_path());
    }

    Arguments compression() const {
        return {"compress", model_.string(), "--recipe", recipe_.string(), "-o", target_.string(), "-t", "2"};
    }

    test::TempDir dir_, scratch_;
    fs::path model_ = dir_ / "model.gguf", recipe_ = dir_ / "recipe.json", target_ = dir_ / "out" / "target.gguf";
};

TEST_F(Crash, KilledCompressionsAreContinuedToTheSameBytes) {
    test::CrashTrial trial(compression(), target_);
    const int times = test::CrashTrial::repetitions(40);
    const test::CrashSummary summary = trial.kill_often(times);
    std::cout << times << " runs: " << summary.killed << " killed, " << summary.left_part << " left a temporary, "
              << summary.continued << " were continued, " << summary.complete << " were complete\n";
    EXPECT_GT(summary.killed, times / 4);
    EXPECT_GT(summary.continued, 0);
}

TEST_F(Crash, InterruptedCompressionsLeaveNothing) {
    test::CrashTrial trial(compression(), target_);
    EXPECT_GT(trial.interrupt_often(SIGTERM, 12), 0);
    EXPECT_GT(trial.interrupt_often(SIGINT, 12), 0);
}

TEST_F(Crash, ASecondRunOntoOneTargetIsRefused) {
    test::RunningProgram first(compression(), scratch_.path());
    const fs::path partial = target_.parent_path() / ".target.gguf.partial";
    while (!fs::exists(partial) && !fs::exists(target_)) std::this_thread::yield();
    first.send(SIGSTOP);
    if (fs::exists(partial)) {
        const test::TempDir elsewhere;
        const test::Finished second = test::RunningProgram(compression(), elsewhere.path()).wait();
        EXPECT_EQ(second.exit_code, 6) << second.err;
        EXPECT_NE(second.err.find("another process is writing it"), std::string::npos) << second.err;
    }
    first.send(SIGCONT);
    EXPECT_EQ(first.wait().exit_code, 0);
    EXPECT_TRUE(fs::exists(target_));
    EXPECT_FALSE(fs::exists(partial));
}

}  // namespace
}  // namespace plasticity
