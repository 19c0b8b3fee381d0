// `plasticity run --reproduce` on a tiny model: the same bytes in another folder, and what is refused.

#include "cli/run_reproduction.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <fstream>
#include <nlohmann/json.hpp>

#include "artifact/gate_gradients.h"
#include "support/expect_error.h"
#include "support/file_content.h"
#include "support/subprocess.h"
#include "support/temp_dir.h"
#include "support/tiny_model.h"

namespace plasticity {
namespace {

namespace fs = std::filesystem;

class RunAgain : public testing::Test {
protected:
    RunAgain() {
        test::write_tiny_gguf(model_);
        write_data("inner");
    }

    void write_data(std::string_view word) const {
        std::ofstream text(data_);
        for (int i = 0; i < 60; ++i) text << fmt::format("in the {} ring of number {}\n", word, i);
    }

    test::Finished run(const std::vector<std::string>& more) const {
        std::vector<std::string> arguments{"run", "--json", "-t", "1"};
        arguments.insert(arguments.end(), more.begin(), more.end());
        return test::run_program(arguments, scratch_.path());
    }
    test::Finished run_first() const {
        return run({model_.string(), "--data", data_.string(), "--device", "auto", "--tokens", "256", "--chunk", "64",
                    "--policy", "tiers", "--tensor-type", "attn_v=Q8_0", "-p", "in 'the'", "-o", first_.string()});
    }
    test::Finished run_again(const fs::path& file, std::vector<std::string> more = {}) const {
        more.insert(more.end(), {"--reproduce", file.string(), "-o", (dir_ / "again").string()});
        return run(more);
    }

    test::TempDir dir_, scratch_;
    fs::path model_ = dir_ / "model.gguf", data_ = dir_ / "text.txt", first_ = dir_ / "first";
    fs::path file_ = first_ / "reproduce.json";
};

TEST_F(RunAgain, MakesTheSameBytesElsewhere) {
    const test::Finished first = run_first();
    ASSERT_TRUE(first.exit_code == 0 || first.exit_code == 7) << first.err;  // random weights write no text
    for (const char* name : {"model.gguf", "report.html", "README.md", "Modelfile", "samples.json", "reproduce.json"})
        EXPECT_TRUE(fs::exists(first_ / name)) << name;
    const auto options = nlohmann::json::parse(std::ifstream(file_)).at("options");
    const std::string precision = load_gate_gradients(first_ / "gate_gradients.json").provenance.precision;
    EXPECT_EQ(options.at("--precision"), nlohmann::json::array({precision})) << "as it was chosen for this machine";
    const test::Finished again = run_again(file_);
    ASSERT_EQ(again.exit_code, first.exit_code) << again.err;
    EXPECT_EQ(nlohmann::json::parse(again.out).at("reproduced"), true) << again.out;
    EXPECT_EQ(test::read_bytes(dir_ / "again/model.gguf"), test::read_bytes(first_ / "model.gguf"));

    // Where the inputs lie elsewhere by now.
    fs::rename(model_, dir_ / "moved.gguf");
    EXPECT_EQ(run_again(file_).exit_code, 3);
    const test::Finished moved = run_again(file_, {(dir_ / "moved.gguf").string()});
    ASSERT_EQ(moved.exit_code, first.exit_code) << moved.err;
    EXPECT_EQ(nlohmann::json::parse(moved.out).at("reproduced"), true) << moved.out;
}

TEST_F(RunAgain, RefusesOtherInputsAndOtherOptions) {
    run_first();
    const test::Finished with_option = run_again(file_, {"--tokens", "128"});
    EXPECT_EQ(with_option.exit_code, 2) << with_option.err;
    EXPECT_NE(with_option.err.find("--tokens"), std::string::npos) << with_option.err;
    write_data("outer");
    const test::Finished other_data = run_again(file_);
    EXPECT_EQ(other_data.exit_code, 4) << other_data.err;
    EXPECT_NE(other_data.err.find("text.txt, file 1 to calibrate on"), std::string::npos) << other_data.err;
    EXPECT_FALSE(fs::exists(dir_ / "again/model.gguf"));
}

TEST_F(RunAgain, SaysThatTheBytesAreOthersAndWhichCameFirst) {
    run_first();
    auto changed = nlohmann::ordered_json::parse(test::read_bytes(file_));
    changed["options"]["--tokens"] = {"128"};
    std::ofstream(dir_ / "changed.json") << changed;
    const test::Finished again = run_again(dir_ / "changed.json");
    EXPECT_EQ(again.exit_code, 7) << again.err;
    const auto summary = nlohmann::json::parse(again.out);
    EXPECT_EQ(summary.at("reproduced"), false);
    EXPECT_NE(summary.at("difference").get<std::string>().find("differs is gate_gradients.json"), std::string::npos);
}

TEST_F(RunAgain, TakesNoOptionsThatItWouldNotRecord) {
    run_first();
    for (const char* option : {"--output", "--data", "--force", "--reproduce", "--nonsense", "-o", "model"}) {
        auto changed = nlohmann::ordered_json::parse(test::read_bytes(file_));
        changed["options"][option] = {"/tmp/x"};
        std::ofstream(dir_ / "changed.json") << changed;
        const test::Finished again = run_again(dir_ / "changed.json");
        EXPECT_EQ(again.exit_code, 4) << option << again.err;
    }
}

TEST_F(RunAgain, LeavesSomebodysReadmeAlone) {
    fs::create_directories(first_);
    std::ofstream(first_ / "README.md") << "mine";
    const test::Finished finished = run_first();
    EXPECT_EQ(finished.exit_code, 2) << finished.err;
    EXPECT_EQ(test::read_bytes(first_ / "README.md"), "mine");
    EXPECT_FALSE(fs::exists(first_ / "gate_gradients.json"));
}

TEST_F(RunAgain, DrawsThePageAnewFromTheFolder) {
    run_first();
    const fs::path page = dir_ / "page.html";
    const test::Finished finished =
        test::run_program({"report", first_.string(), "-o", page.string()}, scratch_.path());
    EXPECT_EQ(finished.exit_code, 0) << finished.err;
    EXPECT_EQ(test::read_bytes(page), test::read_bytes(first_ / "report.html"));
    EXPECT_EQ(test::run_program({"report", dir_.path().string()}, scratch_.path()).exit_code, 4)
        << "a model without a recipe";
    EXPECT_EQ(test::run_program({"report", scratch_.path().string()}, scratch_.path()).exit_code, 3);
}

TEST(TypedCommand, IsWhatAShellTakes) {
    const Reproduction reproduction{.model = "it's.gguf",
                                    .data = {"a", "b c"},
                                    .options = {{"--gram", {"true"}}, {"--tensor-type", {"q=Q8_0", "k|v=Q4_K"}}}};
    EXPECT_EQ(
        typed_command(reproduction),
        "plasticity run 'it'\\''s.gguf' --data a 'b c' --gram --tensor-type=q=Q8_0 '--tensor-type=k|v=Q4_K' -o out");
}

}  // namespace
}  // namespace plasticity
