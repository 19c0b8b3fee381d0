#include "api/stages.h"

#include <gtest/gtest.h>

#include <fstream>
#include <string>

#include "support/expect_error.h"
#include "support/temp_dir.h"

namespace plasticity {
namespace {

/// What a stage reads is never what it writes, with "force" neither.
TEST(Stages, OutputsThatAreInputsAreRefused) {
    const test::TempDir dir;
    const std::string file = (dir / "file.json").string();
    std::ofstream(file) << "{}";
    const auto refused = [&](auto stage, const std::string& options) {
        test::expect_error(ErrorKind::kUsage, {file}, [&] {
            stage(R"({"model": "m.gguf", "force": true, "output": ")" + file + R"(", )" + options + "}",
                  StageListener{});
        });
    };
    for (const char* key : {"thresholds", "tasks", "base"})
        refused(verify_stage, '"' + std::string(key) + R"(": ")" + file + '"');
    refused(compress_stage, R"("recipe": ")" + file + '"');
    refused(plan_stage, R"("device": "16gb", "scores": ")" + file + '"');
    refused(score_stage, R"("data": ")" + file + '"');
    std::ifstream kept(file);
    EXPECT_EQ(std::string(std::istreambuf_iterator<char>(kept), {}), "{}");
}

}  // namespace
}  // namespace plasticity
