#include <gtest/gtest.h>

#include <fstream>
#include <string>

#include "io/python.h"
#include "io/sandbox.h"
#include "support/expect_error.h"
#include "support/temp_dir.h"
#include "verify/task_check.h"

namespace plasticity {
namespace {

std::vector<Task> parse(const std::string& text) {
    return parse_tasks(text, "tasks.jsonl");
}

TEST(TaskFile, OneTaskALine) {
    const auto tasks = parse(R"({"name": "sum", "prompt": "1+1=", "exact": "2", "maxTokens": 3, "stop": ["\n"]})"
                             "\r\n\n"
                             R"({"prompt": "Say yes", "regex": "^ ?yes", "chat": true})");
    ASSERT_EQ(tasks.size(), 2u);
    EXPECT_EQ(tasks[0].name, "sum");
    EXPECT_EQ(tasks[0].checker, Checker::kExact);
    EXPECT_EQ(tasks[0].max_tokens, 3);
    EXPECT_EQ(tasks[0].stop, std::vector<std::string>{"\n"});
    EXPECT_EQ(tasks[1].name, "tasks.jsonl:3");
    EXPECT_TRUE(tasks[1].is_chat);
}

TEST(TaskFile, NamesEveryBadLineAtOnce) {
    const std::string text = R"({"prompt": "a", "exact": "b"})"
                             "\nno json\n"
                             R"({"prompt": "a"})"
                             "\n"
                             R"({"prompt": "a", "exact": "b", "regex": "c"})"
                             "\n"
                             R"({"prompt": "a", "regex": "("})"
                             "\n"
                             R"({"prompt": "", "exact": "b"})"
                             "\n"
                             R"({"prompt": "a", "exact": "b", "maxTokens": 0})"
                             "\n"
                             R"({"prompt": "a", "exact": "b", "shell": "rm"})"
                             "\n"
                             R"({"prompt": "a", "exact": "b", "stop": [""]})";
    for (int line = 2; line <= 9; ++line)
        test::expect_error(ErrorKind::kMalformed, {"tasks.jsonl:" + std::to_string(line)}, [&] { parse(text); });
    test::expect_error(ErrorKind::kUsage, {"holds no task"}, [] { parse("\n \n"); });
}

TEST(JudgeOutput, ExactPassesOverWhiteSpaceAtBothEnds) {
    const Task task{.name = "t", .prompt = "p", .checker = Checker::kExact, .expected = "two words"};
    EXPECT_FALSE(judge_output(task, "  two words\n"));
    EXPECT_TRUE(judge_output(task, "two  words"));
    EXPECT_EQ(judge_output(task, "").value_or(""), "expected \"two words\"");
}

TEST(JudgeOutput, AnExpressionIsFoundAnywhereInTheOutput) {
    const Task task{.name = "t", .prompt = "p", .checker = Checker::kRegex, .expected = "b+c"};
    EXPECT_FALSE(judge_output(task, "aabbbc"));
    EXPECT_EQ(judge_output(task, "aac").value_or(""), "the expression is not found");
    EXPECT_TRUE(judge_output(task, "aaBc"));
}

class PythonChecker : public testing::Test {
protected:
    void SetUp() override {
        if (const std::string obstacle = sandbox_obstacle(); !obstacle.empty()) GTEST_SKIP() << obstacle;
        if (find_python().empty()) GTEST_SKIP() << "no python3";
    }
    static std::optional<std::string> judge(const std::string& program, const std::string& output) {
        return judge_output({.name = "t", .prompt = "def f(x):\n", .checker = Checker::kPython, .expected = program},
                            output);
    }
};

TEST_F(PythonChecker, SeesPromptAndOutput) {
    EXPECT_EQ(judge("exec(prompt + output)\nassert f(2) == 4", "    return 2 * x\n"), std::nullopt);
    EXPECT_EQ(judge("exec(prompt + output)\nassert f(2) == 4", "    return x\n").value_or(""),
              "python: exit code 1: AssertionError");
    EXPECT_EQ(judge("assert output == 'a\\r\\n\\u00e9'", "a\r\n\u00e9"), std::nullopt);
}

TEST_F(PythonChecker, OutputsDoNoHarm) {
    const test::TempDir dir;
    std::ofstream(dir / "kept") << "kept";
    const std::string program = "exec(output)";
    EXPECT_TRUE(judge(program, "import shutil; shutil.rmtree('" + dir.path().string() + "')"));
    EXPECT_TRUE(std::filesystem::exists(dir / "kept"));
    EXPECT_TRUE(judge(program, "import urllib.request; urllib.request.urlopen('http://127.0.0.1:80')"));
    EXPECT_TRUE(judge(program, "x = [0] * 10**10"));
}

}  // namespace
}  // namespace plasticity
