// `plasticity tune` on a tiny model: what it measures, leaves out, keeps, and does not do twice.

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

class TuneProgram : public testing::Test {
protected:
    TuneProgram() {
        test::write_tiny_gguf(model_);
        for (const char* name : {"calibration.txt", "heldout.txt"}) {
            std::ofstream text(dir_ / name);
            for (int i = 0; i < 60; ++i) text << fmt::format("in the inner ring of the {} number {}\n", name, i);
        }
    }

    test::Finished tune(std::vector<std::string> more) const {
        std::vector<std::string> arguments{"tune",   model_.string(),
                                           "--data", (dir_ / "calibration.txt").string(),
                                           "-o",     folder_.string(),
                                           "--json", "--tokens",
                                           "512",    "-t",
                                           "1"};
        arguments.insert(arguments.end(), more.begin(), more.end());
        return test::run_program(arguments, scratch_.path());
    }
    std::vector<std::string> measured_on_other_text(std::vector<std::string> more) const {
        more.insert(more.end(), {"--eval-data", (dir_ / "heldout.txt").string(), "--chunks", "1"});
        return more;
    }

    test::TempDir dir_, scratch_;
    fs::path model_ = dir_ / "model.gguf", folder_ = dir_ / "tuned";
};

TEST_F(TuneProgram, KeepsTheFileThatItRecommends) {
    const auto arguments = measured_on_other_text({"--device", "16gb", "--bits", "9", "12", "--max-kl", "1e-9"});
    const test::Finished finished = tune(arguments);
    ASSERT_EQ(finished.exit_code, 0) << finished.err;
    const auto frontier = nlohmann::json::parse(finished.out);
    EXPECT_EQ(nlohmann::json::parse(test::read_bytes(folder_ / "frontier.json")), frontier);
    EXPECT_TRUE(test::read_bytes(folder_ / "frontier.svg").starts_with("<svg"));
    ASSERT_FALSE(frontier["points"].empty());
    double least = 1e9;
    std::uint64_t recommended_bytes = 0;
    for (const auto& point : frontier["points"]) {
        least = std::min(least, point["quality"]["meanKl"].get<double>());
        if (point["name"] == frontier["recommended"]) recommended_bytes = point["fileBytes"];
        EXPECT_TRUE(fs::exists(folder_ / point["recipe"].get<std::string>()));
    }
    EXPECT_EQ(fs::file_size(folder_ / "model.gguf"), recommended_bytes);
    const std::string page = test::read_bytes(folder_ / "report.html");
    EXPECT_NE(page.find(frontier["recommended"].get<std::string>()), std::string::npos);
    EXPECT_NE(page.find("Mean KL"), std::string::npos);
    EXPECT_EQ(page.find("Not measured"), std::string::npos);
    for (const auto& entry : fs::directory_iterator(folder_ / "points"))
        EXPECT_NE(entry.path().extension(), ".gguf") << "files are measured and removed";

    // Again: nothing is done twice, and the outcome is the same.
    const auto written = fs::last_write_time(folder_ / "model.gguf");
    const test::Finished again = tune(arguments);
    ASSERT_EQ(again.exit_code, 0) << again.err;
    EXPECT_EQ(again.out, finished.out);
    EXPECT_EQ(fs::last_write_time(folder_ / "model.gguf"), written);
    EXPECT_EQ(again.err.find("KL divergence"), std::string::npos) << again.err;
    EXPECT_EQ(again.err.find("measure damage"), std::string::npos) << again.err;
}

TEST_F(TuneProgram, NamesWhatDoesNotFitAndSaysWhenNothingDoes) {
    const test::Finished finished = tune(measured_on_other_text(
        {"--device", R"({"memoryGb": 0.000001, "reservedGb": 0, "label": "a stone"})", "--bits", "9"}));
    EXPECT_EQ(finished.exit_code, 5) << finished.err;
    EXPECT_NE(finished.err.find("a stone"), std::string::npos) << finished.err;
    EXPECT_FALSE(fs::exists(folder_ / "model.gguf"));
}

TEST_F(TuneProgram, RefusesToMeasureOnWhatItCalibratesOn) {
    const test::Finished finished = tune({"--device", "16gb"});
    EXPECT_EQ(finished.exit_code, 2) << finished.err;
    EXPECT_NE(finished.err.find("--eval-data"), std::string::npos) << finished.err;
    EXPECT_FALSE(fs::exists(folder_));
}

}  // namespace
}  // namespace plasticity
