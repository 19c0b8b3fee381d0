// Slices and adapters through the program: which options belong together, what is left, what is said.

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
using Arguments = std::vector<std::string>;

class SlicesAndAdapters : public testing::Test {
protected:
    SlicesAndAdapters() {
        test::write_tiny_gguf(model_);
        std::string text;
        for (int i = 0; i < 60; ++i) text += fmt::format("in the inner ring of the water number {}\n", i);
        std::ofstream(data_) << text;
    }

    std::string at(const std::string& name) const { return (dir_ / name).string(); }

    test::Finished run(Arguments arguments) const { return test::run_program(arguments, scratch_.path()); }

    void score(const std::string& name, const Arguments& more) const {
        Arguments arguments{"score",   model_.string(),    "--data",  data_.string(), "-o",       at(name + ".json"),
                            "--stats", at(name + ".gguf"), "--chunk", "32",           "--tokens", "200"};
        arguments.insert(arguments.end(), more.begin(), more.end());
        const test::Finished finished = run(arguments);
        ASSERT_EQ(finished.exit_code, 0) << finished.err;
    }

    void expect_refused(const Arguments& arguments, int exit_code, std::string_view reason) const {
        const test::Finished finished = run(arguments);
        EXPECT_EQ(finished.exit_code, exit_code) << finished.err;
        EXPECT_NE(finished.err.find(reason), std::string::npos) << finished.err;
    }

    test::TempDir dir_, scratch_;
    fs::path model_ = dir_ / "model.gguf", data_ = dir_ / "data.txt";
};

TEST_F(SlicesAndAdapters, MergeInAnyOrder) {
    score("one", {"--slice", "1/2"});
    score("two", {"--slice", "2/2"});
    const test::Finished first = run({"merge", at("one.json"), at("two.json"), "-o", at("a.json"), "--stats",
                                      at("one.gguf"), at("two.gguf"), "--stats-output", at("a.gguf"), "--json"});
    ASSERT_EQ(first.exit_code, 0) << first.err;
    EXPECT_EQ(nlohmann::json::parse(first.out)["examples"], 7);
    ASSERT_EQ(run({"merge", at("two.json"), at("one.json"), "-o", at("b.json"), "--stats", at("two.gguf"),
                   at("one.gguf"), "--stats-output", at("b.gguf")})
                  .exit_code,
              0);
    EXPECT_EQ(test::read_bytes(at("a.json")), test::read_bytes(at("b.json")));
    EXPECT_TRUE(test::read_bytes(at("a.gguf")) == test::read_bytes(at("b.gguf")));
    EXPECT_NE(run({"inspect", at("one.json")}).out.find("1 of 2"), std::string::npos);

    expect_refused({"merge", at("two.json"), "-o", at("c.json")}, 2, "missing: 1");
    expect_refused({"merge", at("two.json"), at("one.json")}, 2, "-o OUT.json");
    expect_refused({"merge", at("two.json"), at("one.json"), "-o", at("c.json"), "--stats", at("one.gguf")}, 2,
                   "--stats-output");
    expect_refused({"merge", at("two.json"), at("one.json"), "-o", at("one.json"), "--force"}, 2, "read as an input");
    expect_refused({"merge", at("two.gguf"), at("one.json"), "-o", at("c.json")}, 4, "two.gguf");
    expect_refused({"merge"}, 2, "nothing to merge");
    EXPECT_FALSE(fs::exists(at("c.json")));
}

TEST_F(SlicesAndAdapters, TrainSaveMergeIntoAFile) {
    score("tuned", {"--epochs", "2", "--lr", "1e-2", "--holdout-every", "3", "--save-adapter", at("adapter")});
    EXPECT_TRUE(fs::exists(dir_ / "adapter" / "adapter_config.json"));
    EXPECT_TRUE(fs::exists(dir_ / "adapter" / "adapter.gguf"));
    EXPECT_NE(test::read_bytes(scratch_ / "stderr").find("held-out loss"), std::string::npos);
    const test::Finished compressed =
        run({"compress", model_.string(), "--adapter", at("adapter"), "--scores", at("tuned.json"), "--stats",
             at("tuned.gguf"), "--device", "16gb", "--prune", "off", "-o", at("out.gguf"), "--json"});
    ASSERT_EQ(compressed.exit_code, 0) << compressed.err;
    EXPECT_EQ(nlohmann::json::parse(compressed.out)["sources"].back()["name"], "adapter_model.safetensors");
    expect_refused({"score", model_.string(), "--data", data_.string(), "-o", at("x.json"), "--adapter", at("adapter"),
                    "--rank", "4"},
                   2, "--rank");
    expect_refused({"score", model_.string(), "--data", data_.string(), "-o", at("x.json"), "--no-lora", "--lr", "1"},
                   2, "--no-lora");
    expect_refused({"score", model_.string(), "--data", data_.string(), "-o", at("x.json"), "--adapter", at("absent")},
                   3, "adapter_config.json");
    expect_refused(
        {"score", model_.string(), "--data", data_.string(), "-o", at("x.json"), "--epochs", "1", "--slice", "1/2"}, 2,
        "training on a slice");
}

}  // namespace
}  // namespace plasticity
