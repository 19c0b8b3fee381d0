// infer, chat and bench as their users meet them.

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <fstream>
#include <nlohmann/json.hpp>

#include "support/subprocess.h"
#include "support/temp_dir.h"
#include "support/tiny_model.h"

namespace plasticity {
namespace {

namespace fs = std::filesystem;
using Arguments = std::vector<std::string>;

class GenerationCommands : public testing::Test {
protected:
    GenerationCommands() { test::write_tiny_gguf(model_, {.head_dim = 32}); }

    test::Finished run(const Arguments& arguments, const std::string& input = "") const {
        std::ofstream(dir_ / "input") << input;
        Arguments all = arguments;
        all.insert(all.end(), {"-t", "1"});
        return test::run_program(all, scratch_.path(), dir_ / "input");
    }

    nlohmann::json json_of(const Arguments& arguments, const std::string& input = "") const {
        Arguments all = arguments;
        all.push_back("--json");
        const test::Finished finished = run(all, input);
        EXPECT_EQ(finished.exit_code, 0) << finished.err;
        return nlohmann::json::parse(finished.out, nullptr, false);
    }

    void expect_usage_error(const Arguments& arguments, std::string_view reason, const std::string& input = "") const {
        const test::Finished finished = run(arguments, input);
        EXPECT_EQ(finished.exit_code, 2) << finished.err;
        EXPECT_EQ(finished.out, "");
        EXPECT_NE(finished.err.find(reason), std::string::npos) << finished.err;
    }

    test::TempDir dir_, scratch_;
    std::string model_ = (dir_ / "model.gguf").string();
};

TEST_F(GenerationCommands, InferReportsTokensAndTheirProbabilities) {
    const auto said = json_of({"infer", model_, "-p", "in the", "-n", "5", "--temp", "0", "--logprobs", "3"});
    EXPECT_EQ(said.at("token_ids").size(), 5u);
    ASSERT_EQ(said.at("logprobs").size(), 5u);
    for (const auto& token : said.at("logprobs")) {
        ASSERT_EQ(token.at("top").size(), 3u);
        EXPECT_EQ(token.at("top")[0].at("token_id"), token.at("token_id")) << "greedy takes the likeliest";
        EXPECT_EQ(token.at("top")[0].at("logprob"), token.at("logprob"));
        EXPECT_LT(token.at("logprob"), 0.0);
    }
    for (const char* key : {"load_seconds", "prompt_seconds", "generation_seconds", "prompt_tokens_per_second"})
        EXPECT_GT(said.at(key), 0.0) << key;
    EXPECT_EQ(said.at("stop_reason"), "length");
    EXPECT_FALSE(json_of({"infer", model_, "-p", "in the", "-n", "2"}).contains("logprobs"));
}

TEST_F(GenerationCommands, InferTakesPromptAndGrammarFromFiles) {
    std::ofstream(dir_ / "prompt") << "in the\n";
    std::ofstream(dir_ / "grammar") << "root ::= \"yes\" | \"no\"\n";
    const std::string prompt = (dir_ / "prompt").string(), grammar = (dir_ / "grammar").string();
    const auto from_file = json_of({"infer", model_, "-f", prompt, "-n", "6", "--temp", "0"});
    EXPECT_EQ(from_file.at("token_ids"),
              json_of({"infer", model_, "-p", "in the", "-n", "6", "--temp", "0"}).at("token_ids"));
    const std::string text =
        json_of({"infer", model_, "-f", prompt, "--grammar-file", grammar, "--seed", "3"}).at("text");
    EXPECT_TRUE(text == "yes" || text == "no") << text;
    expect_usage_error({"infer", model_, "-p", "a", "--grammar", "root ::= root"}, "grammar");
    expect_usage_error({"infer", model_, "-p", "a", "-f", prompt}, "--prompt");
    expect_usage_error({"infer", model_}, "no prompt");
}

TEST_F(GenerationCommands, InferSaysWhereTheContextEnds) {
    const auto said = json_of(
        {"infer", model_, "-p", "abcdef", "-n", "64", "-c", "16", "--temp", "0", "--grammar", "root ::= [a-z] root"});
    EXPECT_EQ(said.at("stop_reason"), "context");
    EXPECT_EQ(said.at("context_length"), 16);
    expect_usage_error({"infer", model_, "-p", "abcdefghijklmnopqrs", "-c", "16"}, "exceed the context of 16");
    expect_usage_error({"infer", model_, "-p", "a", "-c", "9999"}, "expected 0 to 256");
    expect_usage_error({"infer", model_, "-p", "a", "--kv-type", "q6_K"}, "q6_K");
}

TEST_F(GenerationCommands, InferKeepsKeysAndValuesInTheTypeAskedFor) {
    const Arguments asked{"infer", model_, "-p", "in the", "-n", "3", "--temp", "0", "--kv-type"};
    for (const char* type : {"f16", "q8_0", "q4_0"}) {
        Arguments arguments = asked;
        arguments.emplace_back(type);
        EXPECT_EQ(json_of(arguments).at("token_ids").size(), 3u) << type;
    }
}

TEST_F(GenerationCommands, ADraftChangesNothingButWhatIsGuessed) {
    const Arguments asked{"infer", model_, "-p", "in the", "-n", "24", "--temp", "0"};
    Arguments drafted = asked;
    drafted.insert(drafted.end(), {"--draft", model_, "--draft-max", "3"});
    const auto alone = json_of(asked), said = json_of(drafted);
    EXPECT_EQ(said.at("token_ids"), alone.at("token_ids"));
    EXPECT_EQ(alone.at("guessed_tokens"), 0);
    EXPECT_LE(said.at("accepted_tokens"), said.at("guessed_tokens"));
    const Arguments chat{"chat", model_, "-n", "12", "--temp", "0", "-c", "200"};
    Arguments with_draft = chat;
    with_draft.insert(with_draft.end(), {"--draft", model_});
    EXPECT_EQ(json_of(with_draft, "hello\nand now\n").at("messages"), json_of(chat, "hello\nand now\n").at("messages"));
    drafted[9] = (dir_ / "nothing.gguf").string();
    EXPECT_EQ(run(drafted).exit_code, 3);
}

TEST_F(GenerationCommands, ChatAnswersLineByLineAndFeedsOnlyWhatIsNew) {
    const Arguments chat{"chat", model_, "-n", "4", "--temp", "0", "-c", "200", "--system", "be brief"};
    const auto held = json_of(chat, "hello\nand now\n\n/clear\nhello\n/exit\nnever read\n");
    const auto& turns = held.at("turns");
    ASSERT_EQ(turns.size(), 3u);
    EXPECT_EQ(turns[0].at("reused_tokens"), 0);
    EXPECT_GE(turns[1].at("reused_tokens"), turns[0].at("prompt_tokens"));
    EXPECT_EQ(turns[2].at("reused_tokens"), 0) << "/clear forgets";
    ASSERT_EQ(held.at("messages").size(), 3u);
    EXPECT_EQ(held.at("messages")[0].at("content"), "be brief");
    EXPECT_EQ(held.at("messages")[1].at("content"), "hello");
    EXPECT_EQ(held.at("messages")[2].at("role"), "assistant");
    EXPECT_EQ(run(chat, "hello").exit_code, 0) << "the last line may lack its break";
}

TEST_F(GenerationCommands, ChatRefusesWhatItCannotGoOnWith) {
    const Arguments chat{"chat", model_, "-n", "4", "-c", "64"};
    expect_usage_error(chat, "/clear", std::string(100, 'x') + "\n");
    expect_usage_error(chat, "no command /reset", "/reset\n");
    expect_usage_error(chat, "1048576 bytes", std::string(3 << 20, 'x'));
    GgufLayout layout = test::tiny_layout();
    layout.metadata.set("tokenizer.chat_template", std::string());
    const std::string plain = test::write_tiny_layout(dir_ / "plain.gguf", layout).string();
    expect_usage_error({"chat", plain}, "no chat template", "hello\n");
}

TEST_F(GenerationCommands, BenchSpeedGivesMediansSpreadAndMemory) {
    const auto speed = json_of({"bench", "speed", model_, "-p", "16", "-n", "8", "-r", "3"});
    EXPECT_GT(speed.at("prompt_tokens_per_second"), 0.0);
    EXPECT_GT(speed.at("generated_tokens_per_second"), 0.0);
    EXPECT_EQ(speed.at("prompt_runs").size(), 3u);
    EXPECT_EQ(speed.at("generated_runs").size(), 3u);
    EXPECT_GE(speed.at("prompt_spread"), 0.0);
    EXPECT_EQ(speed.at("file_bytes"), fs::file_size(model_));
    for (const char* key : {"weight_bytes", "kv_cache_bytes", "compute_bytes", "peak_resident_bytes"})
        EXPECT_GT(speed.at(key), 0u) << key;
    EXPECT_EQ(json_of({"bench", "speed", model_, "-n", "0", "-p", "4"}).at("generated_runs").size(), 0u);
    expect_usage_error({"bench", "speed", model_, "-p", "0", "-n", "0"}, "neither");
    expect_usage_error({"bench", "speed", model_, "-p", "64", "-c", "32"}, "exceed the context of 32");
}

/// Where nobody says, matrices are held twice, as so little fits any machine, and ggml does not report each of them.
TEST_F(GenerationCommands, MatricesAreHeldTwiceUnlessToldOtherwise) {
    const fs::path path =
        test::write_tiny_gguf(dir_ / "blocks.gguf", {.n_embd = 64, .n_ff = 64, .matrix_type = GGML_TYPE_Q4_0});
    const Arguments bench{"bench", "speed", path.string(), "-p", "2", "-n", "2", "-r", "1"};
    const auto weight_bytes = [&](const std::string& option) {
        Arguments arguments = bench;
        if (!option.empty()) arguments.push_back(option);
        return json_of(arguments)["weight_bytes"].get<std::uint64_t>();
    };
    EXPECT_EQ(weight_bytes(""), weight_bytes("--repack"));
#if defined(__x86_64__)
    EXPECT_GT(weight_bytes(""), weight_bytes("--no-repack"));
#endif
    EXPECT_EQ(run(bench).err.find("q4_0"), std::string::npos);
}

}  // namespace
}  // namespace plasticity
