// score --memory on a real model: what it takes, and that the result is the same.

#include <gtest/gtest.h>
#include <sys/resource.h>

#include "integration/real_model.h"
#include "support/temp_dir.h"

namespace plasticity {
namespace {

/// Bytes that the hungriest of the programs run so far had resident.
std::uint64_t peak_of_children() {
    rusage usage{};
    getrusage(RUSAGE_CHILDREN, &usage);
    return static_cast<std::uint64_t>(usage.ru_maxrss) * 1024;
}

class ScoringSmolLm2 : public testing::Test {
protected:
    test::Finished score(const std::string& name, std::vector<std::string> further) {
        std::vector<std::string> arguments{"score",    test::smollm2().string(),
                                           "--data",   test::source("src/engine").string(),
                                           "--tokens", "600",
                                           "--chunk",  "200",
                                           "-o",       (dir_ / (name + ".json")).string(),
                                           "--stats",  (dir_ / (name + ".gguf")).string()};
        arguments.insert(arguments.end(), further.begin(), further.end());
        return test::run_program(arguments, dir_ / "");
    }

    test::TempDir dir_;
};

/// Both orders of all weights at F16 are 540 MB.
TEST_F(ScoringSmolLm2, KeepsALimitOnMemoryAndGivesTheSameBytes) {
    constexpr std::uint64_t kLimit = 400'000'000;
    const test::Finished limited = score("limited", {"--memory", "400MB"});
    ASSERT_EQ(limited.exit_code, 0) << limited.err;
    EXPECT_NE(limited.err.find("weights pass through memory"), std::string::npos) << limited.err;
    const std::uint64_t peak = peak_of_children();
    EXPECT_LE(peak, kLimit);
    ASSERT_EQ(score("free", {}).exit_code, 0);
    EXPECT_GT(peak_of_children(), kLimit) << "the limit limits nothing";
    for (const char* ending : {".json", ".gguf"})
        EXPECT_TRUE(test::read_bytes(dir_ / (std::string("limited") + ending)) ==
                    test::read_bytes(dir_ / (std::string("free") + ending)))
            << ending;
    RecordProperty("peak_bytes", std::to_string(peak));
}

TEST_F(ScoringSmolLm2, SaysHowMuchMemoryItNeeds) {
    const test::Finished finished = score("tiny", {"--memory", "100MB"});
    EXPECT_EQ(finished.exit_code, 5);
    EXPECT_NE(finished.err.find("100.0 MB of memory; expected "), std::string::npos) << finished.err;
    EXPECT_FALSE(std::filesystem::exists(dir_ / "tiny.json"));
}

}  // namespace
}  // namespace plasticity
