// A run of the real model, done again in another folder by the file that it leaves.

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "integration/real_model.h"
#include "support/file_content.h"
#include "support/subprocess.h"
#include "support/temp_dir.h"

namespace plasticity {
namespace {

TEST(Reproduce, GivesTheSameBytesInAnotherFolder) {
    const test::TempDir dir;
    const std::string first = (dir / "first").string(), again = (dir / "again").string();
    const test::Finished made =
        test::run_program({"run", test::smollm2().string(), "--data", test::source("src/core/units.cpp").string(),
                           "--tokens", "64", "--chunk", "64", "--policy", "tiers", "--prune", "heads=0.1",
                           "--target-size", "85MB", "-t", "1", "--json", "-o", first},
                          dir.path());
    ASSERT_EQ(made.exit_code, 0) << made.err;
    const test::Finished remade = test::run_program(
        {"run", "--reproduce", first + "/reproduce.json", "--json", "-t", "1", "-o", again}, dir.path());
    ASSERT_EQ(remade.exit_code, 0) << remade.err;
    const auto before = nlohmann::json::parse(made.out), after = nlohmann::json::parse(remade.out);
    EXPECT_EQ(after.at("reproduced"), true);
    EXPECT_EQ(after.at("outputSha256"), before.at("outputSha256"));
    EXPECT_TRUE(test::read_bytes(first + "/model.gguf") == test::read_bytes(again + "/model.gguf"));
}

}  // namespace
}  // namespace plasticity
