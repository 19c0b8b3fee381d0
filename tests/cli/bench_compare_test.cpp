// `plasticity bench compare` on tiny models: what it measures, and what it writes.

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <fstream>
#include <nlohmann/json.hpp>

#include "support/file_content.h"
#include "support/subprocess.h"
#include "support/temp_dir.h"
#include "support/tiny_model.h"

namespace plasticity {
namespace {

namespace fs = std::filesystem;

class BenchCompare : public testing::Test {
protected:
    BenchCompare() {
        test::write_tiny_gguf(base_);
        test::write_tiny_gguf(other_, {.n_layer = 1});
        std::ofstream text(dir_ / "text.txt");
        for (int i = 0; i < 60; ++i) text << fmt::format("in the inner ring of number {}\n", i);
    }

    test::Finished compare(const std::vector<std::string>& more = {},
                           const std::vector<std::string>& runs = {"-p", "16", "-n", "4", "-r", "2"}) const {
        std::vector<std::string> arguments{"bench",
                                           "compare",
                                           base_.string(),
                                           base_.string(),
                                           other_.string(),
                                           "--data",
                                           (dir_ / "text.txt").string(),
                                           "-o",
                                           folder_.string(),
                                           "-c",
                                           "64",
                                           "--chunks",
                                           "3",
                                           "-t",
                                           "1",
                                           "--json"};
        arguments.insert(arguments.end(), runs.begin(), runs.end());
        arguments.insert(arguments.end(), more.begin(), more.end());
        return test::run_program(arguments, scratch_.path());
    }

    test::TempDir dir_, scratch_;
    fs::path base_ = dir_ / "base<i>.gguf", other_ = dir_ / "one|layer.gguf", folder_ = dir_ / "compared";
};

TEST_F(BenchCompare, MeasuresQualitySpeedAndMemoryOfEveryFile) {
    const test::Finished finished = compare();
    ASSERT_EQ(finished.exit_code, 0) << finished.err;
    const auto said = nlohmann::json::parse(finished.out);
    EXPECT_EQ(nlohmann::json::parse(test::read_bytes(folder_ / "comparison.json")), said);
    EXPECT_EQ(said["schemaVersion"], 1);
    EXPECT_EQ(said["settings"]["chunks"], 3);
    EXPECT_FALSE(said["machine"]["versions"]["ggml"].get<std::string>().empty());
    EXPECT_GT(said["machine"]["memoryBytes"], 0);

    ASSERT_EQ(said["files"].size(), 3u);
    EXPECT_TRUE(said["files"][0]["isBase"]);
    EXPECT_FALSE(said["files"][0].contains("quality"));
    EXPECT_LT(said["files"][1]["quality"]["maxKl"], 1e-6) << "the base against itself";
    EXPECT_GT(said["files"][2]["quality"]["meanKl"], 1e-6);
    EXPECT_TRUE(said["files"][2]["quality"].contains("medianKlError"));
    EXPECT_EQ(said["files"][1]["bitsPerWeight"], said["files"][0]["bitsPerWeight"]);
    for (const auto& file : said["files"]) {
        const auto& running = file["running"];
        for (const char* key : {"promptTokensPerSecond", "generatedTokensPerSecond", "loadSeconds"}) {
            EXPECT_EQ(running[key]["runs"].size(), 2u) << key;
            EXPECT_GT(running[key]["median"], 0) << key;
        }
        EXPECT_GT(running["weightBytes"], 0);
    }
}

TEST_F(BenchCompare, NamesAreTextInEveryTable) {
    ASSERT_EQ(compare().exit_code, 0);
    const std::string page = test::read_bytes(folder_ / "comparison.html"),
                      table = test::read_bytes(folder_ / "comparison.md");
    EXPECT_EQ(page.find("<i>"), std::string::npos);
    EXPECT_NE(page.find("base&lt;i&gt;.gguf (base)"), std::string::npos);
    for (const char* loads : {"<script", "src=", "href=", "url(", "@import"})
        EXPECT_EQ(page.find(loads), std::string::npos) << loads;
    EXPECT_NE(table.find("one\\|layer.gguf"), std::string::npos) << table;
    EXPECT_EQ(table.find("<i>"), std::string::npos);
}

TEST_F(BenchCompare, DryRunsWriteNothingAndOutputsAreKept) {
    EXPECT_EQ(compare({"--dry-run"}).exit_code, 0);
    EXPECT_FALSE(fs::exists(folder_));
    ASSERT_EQ(compare({}, {"-p", "0", "-n", "0"}).exit_code, 0);
    const test::Finished again = compare();
    EXPECT_EQ(again.exit_code, 2);
    EXPECT_NE(again.err.find("comparison.json"), std::string::npos) << again.err;
    EXPECT_EQ(compare({"--force"}, {"-p", "0", "-n", "0"}).exit_code, 0);
}

TEST_F(BenchCompare, RefusesWhatIsNoModelAndLeavesNothing) {
    const fs::path foreign = dir_ / "foreign.gguf";
    std::ofstream(foreign) << "no model";
    const test::Finished finished = test::run_program({"bench", "compare", base_.string(), foreign.string(), "--data",
                                                       (dir_ / "text.txt").string(), "-o", (dir_ / "other").string()},
                                                      scratch_.path());
    EXPECT_EQ(finished.exit_code, 4) << finished.err;
    EXPECT_FALSE(fs::exists(dir_ / "other" / "comparison.json"));
}

}  // namespace
}  // namespace plasticity
