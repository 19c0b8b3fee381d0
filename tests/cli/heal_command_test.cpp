// Healing through the program: what it says, its exit codes, and what it leaves alone.

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

using Arguments = std::vector<std::string>;

class HealCommand : public testing::Test {
protected:
    HealCommand() {
        test::write_tiny_gguf(dir_ / "base.gguf", {.n_ff = 64});
        test::write_tiny_gguf(dir_ / "small.gguf", {.n_ff = 64, .matrix_type = GGML_TYPE_Q4_0});
        std::ofstream text(dir_ / "text.txt");
        for (int i = 0; i < 200; ++i) text << fmt::format("in the inner ring of the water number {}\n", i * 37 % 101);
    }

    std::string at(const std::string& name) const { return (dir_ / name).string(); }

    test::Finished heal(const std::string& output, const Arguments& more = {}) const {
        Arguments arguments{"heal",     at("small.gguf"), "--base", at("base.gguf"), "--data", at("text.txt"), "-o",
                            at(output), "--chunk",        "64"};
        arguments.insert(arguments.end(), more.begin(), more.end());
        return test::run_program(arguments, scratch_.path());
    }

    test::TempDir dir_, scratch_;
};

TEST_F(HealCommand, SaysWhatItGained) {
    const test::Finished finished = heal("healed.gguf", {"--json"});
    ASSERT_EQ(finished.exit_code, 0) << finished.err;
    const auto result = nlohmann::json::parse(finished.out);
    EXPECT_EQ(result["output"], at("healed.gguf"));
    EXPECT_LT(result["held_out_kl_after"], result["held_out_kl_before"]);
    EXPECT_EQ(test::read_bytes(dir_ / "healed.gguf").size(), test::read_bytes(dir_ / "small.gguf").size());
    EXPECT_EQ(test::run_program({"verify", at("healed.gguf"), "-o", at("report.json")}, scratch_.path()).exit_code, 0);
}

TEST_F(HealCommand, OfAFileThatOnlyGetsWorseNothingIsWritten) {
    const test::Finished finished = heal("healed.gguf", {"--lr", "5", "--json"});
    EXPECT_EQ(finished.exit_code, 7) << finished.err;
    EXPECT_TRUE(nlohmann::json::parse(finished.out)["output"].is_null());
    EXPECT_FALSE(std::filesystem::exists(dir_ / "healed.gguf"));
    EXPECT_NE(heal("healed.gguf", {"--lr", "5"}).out.find("not written"), std::string::npos);
}

TEST_F(HealCommand, InputsAreLeftAlone) {
    const std::string before = test::read_bytes(dir_ / "small.gguf");
    const test::Finished finished = heal("small.gguf", {"--force"});
    EXPECT_EQ(finished.exit_code, 2) << finished.err;
    EXPECT_EQ(test::read_bytes(dir_ / "small.gguf"), before);
    EXPECT_EQ(heal("text.txt").exit_code, 2);
}

}  // namespace
}  // namespace plasticity
