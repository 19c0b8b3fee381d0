// The program as its users meet it: exit codes, one clear line, nothing left behind.

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <fstream>
#include <nlohmann/json.hpp>

#include "artifact/statistics.h"
#include "core/hash.h"
#include "core/version.h"
#include "support/file_content.h"
#include "support/subprocess.h"
#include "support/temp_dir.h"
#include "support/tiny_model.h"

namespace plasticity {
namespace {

namespace fs = std::filesystem;
using Arguments = std::vector<std::string>;

class Program : public testing::Test {
protected:
    Program() {
        test::write_tiny_gguf(model_);
        std::string text;
        for (int i = 0; i < 60; ++i) text += fmt::format("in the inner ring of the water number {}\n", i);
        std::ofstream(data_) << text;
    }

    test::Finished run(const Arguments& arguments) const { return test::run_program(arguments, scratch_.path()); }

    std::vector<fs::path> entries() const {
        std::vector<fs::path> found;
        for (const auto& entry : fs::recursive_directory_iterator(dir_.path())) found.push_back(entry.path());
        std::sort(found.begin(), found.end());
        return found;
    }

    /// Every command that reads a model, given this one: `exit_code`, one line that names it, nothing left behind.
    void expect_clean_refusal(const fs::path& model, int exit_code) {
        const auto before = entries();
        const std::string in = model.string(), out = (dir_ / "out").string(), data = data_.string();
        for (const Arguments& arguments : {Arguments{"inspect", in},
                                           {"score", in, "--data", data, "-o", out, "--stats", out + ".gguf"},
                                           {"infer", in, "-p", "in"},
                                           {"eval", in, "--data", data},
                                           {"verify", in},
                                           {"export", in, "--format", "gguf", "-o", out},
                                           {"export", in, "--format", "hf", "-o", out},
                                           {"run", in, "--data", data, "--device", "16gb", "-o", out}}) {
            SCOPED_TRACE(arguments.front());
            const test::Finished finished = run(arguments);
            EXPECT_EQ(finished.exit_code, exit_code) << finished.err;
            EXPECT_EQ(finished.out, "");
            EXPECT_TRUE(finished.err.starts_with("plasticity: ")) << finished.err;
            EXPECT_EQ(std::count(finished.err.begin(), finished.err.end(), '\n'), 1) << finished.err;
            EXPECT_NE(finished.err.find(model.filename().string()), std::string::npos) << finished.err;
            EXPECT_EQ(entries(), before);
        }
    }

    void expect_usage_error(const Arguments& arguments, std::string_view reason) {
        const test::Finished finished = run(arguments);
        EXPECT_EQ(finished.exit_code, 2) << finished.err;
        EXPECT_EQ(finished.out, "");
        EXPECT_NE(finished.err.find(reason), std::string::npos) << finished.err;
    }

    test::TempDir dir_, scratch_;
    fs::path model_ = dir_ / "model.gguf", data_ = dir_ / "data.txt";
};

TEST_F(Program, RefusesATruncatedModel) {
    const std::string whole = test::read_bytes(model_);
    const fs::path truncated = dir_ / "truncated.gguf";
    std::ofstream(truncated, std::ios::binary) << whole.substr(0, whole.size() - 100);
    expect_clean_refusal(truncated, 4);
}

TEST_F(Program, RefusesWhatIsNoModel) {
    const fs::path other = dir_ / "letter.gguf";
    std::ofstream(other) << "Dear reader, this is no model at all.\n";
    expect_clean_refusal(other, 4);
}

TEST_F(Program, InspectRefusesJsonThatLenientParsersTake) {
    const fs::path file = dir_ / "artifact.json";
    for (const std::string& text :
         {std::string(R"({"tensorQuantMap":[],"tensorQuantMap":[]})"), std::string(R"({"num_heads":1,"num_heads":2})"),
          std::string("{\"a\":\"\xff\"}"), std::string("{"), std::string("[]"), std::string(),
          "{\"a\":" + std::string(100'000, '[')}) {
        std::ofstream(file, std::ios::binary) << text;
        const test::Finished finished = run({"inspect", file.string()});
        EXPECT_EQ(finished.exit_code, 4) << text.substr(0, 40) << finished.err;
        EXPECT_EQ(finished.out, "");
        EXPECT_NE(finished.err.find("artifact.json"), std::string::npos) << finished.err;
    }
}

/// Names come out of files: of the model, of a recipe's unknown key, of the data sets of statistics.
TEST_F(Program, NothingOutOfAFileReachesTheTerminalRaw) {
    GgufLayout layout = test::tiny_layout();
    layout.metadata.set("general.name", std::string("\033[2J\nfake line\xff"));
    test::write_tiny_layout(model_, layout);
    const fs::path scores = dir_ / "scores.json", recipe = dir_ / "recipe.json", statistics = dir_ / "s.gguf";
    std::ofstream(scores) << R"({"layer_scores":[[0,1]],"num_steps":3,"model_name":"\u001b[2J","num_heads":2,)"
                          << R"("num_kv_heads":1})";
    std::ofstream(recipe) << R"({"tensorQuantMap":[],"schemaVersion":1,"\u001b[2J":1})";
    Statistics sums;
    sums.matrices["blk.0.attn_q.weight"] = {{1, 2}, 4};
    sums.datasets = {"\033[2J\xff"};
    save_statistics(sums, statistics, Overwrite::kReplace);
    for (const auto& [file, exit_code] : {std::pair{model_, 0}, {scores, 0}, {recipe, 4}, {statistics, 0}}) {
        const test::Finished finished = run({"inspect", file.string()});
        EXPECT_EQ(finished.exit_code, exit_code) << file << finished.err;
        EXPECT_EQ((finished.out + finished.err).find('\033'), std::string::npos) << file;
        EXPECT_EQ(finished.out.find("\nfake line"), std::string::npos);
    }
}

TEST_F(Program, SaysWhenAModelIsMissing) {
    expect_clean_refusal(dir_ / "missing.gguf", 3);
}

TEST_F(Program, SaysItsVersionAndHelps) {
    const test::Finished version = run({"--version"});
    EXPECT_EQ(version.exit_code, 0);
    EXPECT_EQ(version.out, fmt::format("plasticity {}\n", kVersion));
    const test::Finished help = run({"--help"});
    EXPECT_EQ(help.exit_code, 0);
    for (const char* command :
         {"run", "score", "plan", "compress", "verify", "infer", "chat", "bench", "eval", "inspect", "export"})
        EXPECT_NE(help.out.find(fmt::format("\n  {} ", command)), std::string::npos) << command;
}

TEST_F(Program, UsageErrorsExitWith2) {
    const std::string model = model_.string(), data = data_.string();
    expect_usage_error({}, "subcommand is required");
    expect_usage_error({"paint"}, "subcommand is required");
    expect_usage_error({"score", model, "-o", "x"}, "--data");
    expect_usage_error({"infer", model, "-p", "a", "--threads", "-1"}, "-1");
    expect_usage_error({"eval", model, "--data", data, "--precision", "f64"}, "f64");
    expect_usage_error({"plan", model, "--scores", data}, "--output");
    expect_usage_error({"plan", model, "--scores", data, "--explain"}, "0 budgets");
    expect_usage_error({"compress", model, "-o", "x"}, "--scores");
    expect_usage_error({"run", model, "--data", data, "-o", (dir_ / "out").string()}, "0 budgets");
    EXPECT_FALSE(fs::exists(dir_ / "out"));
}

TEST_F(Program, KeepsOutputsThatExist) {
    const fs::path precious = dir_ / "precious";
    std::ofstream(precious) << "precious";
    const std::string model = model_.string(), out = precious.string();
    expect_usage_error({"score", model, "--data", data_.string(), "-o", out}, "--force");
    expect_usage_error({"export", model, "--format", "gguf", "-o", out}, "precious");
    expect_usage_error({"export", model, "--format", "hf", "-o", out}, "precious");
    EXPECT_EQ(test::read_bytes(precious), "precious");
    EXPECT_EQ(run({"score", model, "--data", data_.string(), "-o", out, "--force", "-t", "1"}).exit_code, 0);
    EXPECT_NE(test::read_bytes(precious), "precious");
}

TEST_F(Program, CompensatesForPrunedHeads) {
    const std::string model = test::write_tiny_gguf(dir_ / "wide.gguf", {.n_head = 8, .n_head_kv = 4}).string();
    const std::string scores = (dir_ / "scores.json").string();
    const std::string gram = (dir_ / "gram.gguf").string(), output = (dir_ / "out.gguf").string();
    const test::Finished scored = run({"score", model, "--data", data_.string(), "-o", scores, "--gram", gram,
                                       "--tokens", "32", "--chunk", "32", "--gram-tokens", "64"});
    ASSERT_EQ(scored.exit_code, 0) << scored.err;
    EXPECT_NE(scored.err.find("Gram matrices of 9 inputs over 64 tokens"), std::string::npos) << scored.err;
    EXPECT_FALSE(fs::exists(scores + ".checkpoint"));
    const test::Finished compressed =
        run({"compress", model, "--scores", scores, "--gram", gram, "--prune", "kv-groups=1", "--device", "16gb",
             "--context", "64", "-o", output, "--json"});
    ASSERT_EQ(compressed.exit_code, 0) << compressed.err;
    EXPECT_EQ(nlohmann::json::parse(compressed.out).at("compensated"), 2);
    expect_usage_error({"score", model, "--data", data_.string(), "-o", scores, "--gram", gram}, "exists");
    expect_usage_error({"score", model, "--data", data_.string(), "-o", scores, "--gram-tokens", "64"}, "--gram");
}

TEST_F(Program, PadsColumnsOnlyForItself) {
    const std::string model = model_.string(), scores = (dir_ / "scores.json").string();
    const std::string recipe = (dir_ / "recipe.json").string(), output = (dir_ / "out.gguf").string();
    ASSERT_EQ(run({"score", model, "--data", data_.string(), "--chunk", "64", "-o", scores}).exit_code, 0);
    const Arguments planned{"plan", model,     "--scores", scores,    "--target-size", "1MB",           "-o",
                            recipe, "--align", "columns",  "--prune", "off",           "--tensor-type", "attn_q=q6_K"};
    expect_usage_error(planned, "--allow-own plans it all the same");
    EXPECT_FALSE(fs::exists(recipe));
    Arguments allowed = planned;
    allowed.emplace_back("--allow-own");
    ASSERT_EQ(run(allowed).exit_code, 0);
    EXPECT_FALSE(nlohmann::json::parse(test::read_bytes(recipe)).at("stock").get<bool>());

    const test::Finished announced = run({"compress", model, "--recipe", recipe, "-o", output, "--dry-run", "--json"});
    const test::Finished written = run({"compress", model, "--recipe", recipe, "-o", output});
    ASSERT_EQ(written.exit_code, 0) << written.err;
    EXPECT_NE(written.err.find("input columns of 2 matrices padded with zeros"), std::string::npos) << written.err;
    EXPECT_EQ(nlohmann::json::parse(announced.out).at("file_bytes"), fs::file_size(output));
    const auto seen = nlohmann::json::parse(run({"inspect", output, "--json"}).out);
    EXPECT_EQ(seen.at("padded_columns").at("matrices"), 2);
    EXPECT_EQ(seen.at("embedding_length"), 32);
    EXPECT_EQ(run({"verify", output}).exit_code, 0);
    EXPECT_EQ(run({"infer", output, "-p", "in the", "-n", "4"}).exit_code, 0);
}

TEST_F(Program, RunsModelsOnADeviceByName) {
    const std::string model = model_.string(), data = data_.string(), out = (dir_ / "scores.json").string();
    const nlohmann::json said = nlohmann::json::parse(
        run({"infer", model, "-p", "in the", "-n", "4", "--backend", "CPU", "-ngl", "1", "--json"}).out);
    EXPECT_EQ(said.at("backend"), "CPU");
    EXPECT_EQ(said.at("generated_tokens"), 4);
    for (Arguments arguments : {Arguments{"infer", model, "-p", "in the"},
                                {"eval", model, "--data", data, "-c", "64"},
                                {"score", model, "--data", data, "-o", out},
                                {"verify", model}}) {
        arguments.insert(arguments.end(), {"--backend", "CUDA77"});
        expect_usage_error(arguments, "backend: got 'CUDA77'; expected auto or cpu");
    }
    for (const char* layers : {"-1", "many", "1.5", ""})
        expect_usage_error({"infer", model, "-p", "in the", "--gpu-layers", layers}, "expected auto or a number");
}

TEST_F(Program, PrintsOneJsonDocument) {
    const std::string model = model_.string(), data = data_.string();
    const std::string scores = (dir_ / "scores.json").string(), recipe = (dir_ / "recipe.json").string();
    const std::string output = (dir_ / "out.gguf").string();
    for (const Arguments& arguments :
         {Arguments{"score", model, "--data", data, "--chunk", "64", "-o", scores},
          {"plan", model, "--scores", scores, "--target-size", "1MB", "--tensor-type", ".*=F16", "-o", recipe},
          {"compress", model, "--recipe", recipe, "-o", output},
          {"eval", model, "--data", data, "-c", "64"},
          {"eval", output, "--data", data, "-c", "64", "--base", model},
          {"infer", output, "-p", "in the", "-n", "4", "--temp", "0"},
          {"bench", "speed", model, "-p", "8", "-n", "4", "-r", "2"},
          {"inspect", model},
          {"inspect", scores},
          {"inspect", recipe},
          {"run", model, "--data", data, "--device", "16gb", "--tokens", "512", "-o", (dir_ / "run").string()}}) {
        SCOPED_TRACE(arguments.front() + " " + arguments[1]);
        Arguments with_json = arguments;
        with_json.insert(with_json.end(), {"--json", "-t", "1"});
        const test::Finished finished = run(with_json);
        EXPECT_TRUE(finished.exit_code == 0 || (arguments.front() == "run" && finished.exit_code == 7)) << finished.err;
        const auto document = nlohmann::json::parse(finished.out, nullptr, false);
        EXPECT_TRUE(document.is_object()) << finished.out;
        EXPECT_TRUE(finished.out.ends_with("}\n"));
        if (arguments.front() == "compress") {
            EXPECT_EQ(document.at("sha256"), sha256_of_file(output));
            EXPECT_EQ(document.at("sources").at(0).at("sha256"), sha256_of_file(model));
            EXPECT_NE(finished.err.find(sha256_of_file(output) + "  out.gguf"), std::string::npos) << finished.err;
            EXPECT_NE(finished.err.find(sha256_of_file(model)), std::string::npos) << finished.err;
        }
        if (arguments.front() == "run") {
            EXPECT_EQ(document.at("outputSha256"), sha256_of_file(dir_ / "run" / "model.gguf"));
        }
    }
}

}  // namespace
}  // namespace plasticity
