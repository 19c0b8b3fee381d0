#include "infer/chat_session.h"

#include <gtest/gtest.h>

#include <csignal>

#include "core/error.h"
#include "core/interrupt.h"
#include "engine/engine_support.h"

namespace plasticity {
namespace {

class ChatWithATinyModel : public testing::Test {
protected:
    ChatOptions options(std::int32_t context = 250) const {
        return {.model = model_, .max_tokens = 12, .sampler = {.temperature = 0}, .cache = {context}, .threads = 1};
    }

    test::TempDir dir_;
    std::filesystem::path model_ = test::write_tiny_gguf(dir_ / "tiny.gguf");
};

/// What is reused was computed for one token at a time, and is otherwise computed for many at once: roundings that no
/// greedy choice of this model turns on.
TEST_F(ChatWithATinyModel, ReuseChangesNothingThatIsSaid) {
    ChatSession going_on(options(), test::quiet());
    const ChatAnswer first = going_on.answer("hello", {});
    const ChatAnswer second = going_on.answer("go on", {});
    EXPECT_EQ(first.reused_tokens, 0);
    EXPECT_GE(second.reused_tokens, first.prompt_tokens);
    EXPECT_LT(second.reused_tokens, second.prompt_tokens);
    ASSERT_EQ(going_on.history().size(), 4u);
    EXPECT_EQ(going_on.history()[1].content, first.text);

    going_on.clear();
    EXPECT_TRUE(going_on.history().empty());
    EXPECT_EQ(going_on.answer("hello", {}).text, first.text);
    EXPECT_EQ(going_on.answer("go on", {}).text, second.text);
}

TEST_F(ChatWithATinyModel, AMessageTooManyLeavesTheHistoryAsItWas) {
    ChatSession session(options(96), test::quiet());
    session.answer("hello", {});
    const auto before = session.history();
    try {
        session.answer(std::string(80, 'x'), {});
        ADD_FAILURE() << "accepted";
    } catch (const Error& error) {
        EXPECT_EQ(error.kind(), ErrorKind::kUsage);
        EXPECT_NE(std::string_view(error.what()).find("/clear"), std::string_view::npos) << error.what();
    }
    EXPECT_EQ(session.history().size(), before.size());
    EXPECT_NO_THROW(session.answer("hi", {}));
}

TEST_F(ChatWithATinyModel, AnAnswerEndsWhereTheContextDoes) {
    ChatOptions endless = options(48);
    endless.max_tokens = -1;
    endless.sampler.grammar = "root ::= [a-z] root | [a-z]";
    ChatSession session(endless, test::quiet());
    EXPECT_EQ(session.answer("hello", {}).reason, StopReason::kContext);
}

/// In a process of its own: signal handlers stay installed.
TEST(ChatDeathTest, CtrlCStopsTheAnswerAndNotTheChat) {
    GTEST_FLAG_SET(death_test_style, "threadsafe");
    EXPECT_EXIT(
        {
            install_signal_handlers();
            const test::TempDir dir;
            ChatSession session({.model = test::write_tiny_gguf(dir / "tiny.gguf"),
                                 .sampler = {.temperature = 0, .grammar = "root ::= [a-z] root | [a-z]"},
                                 .cache = {200},
                                 .threads = 1},
                                test::quiet());
            int pieces = 0;
            const ChatAnswer stopped = session.answer("hello", [&](std::string_view) {
                if (++pieces == 3) std::raise(SIGINT);
            });
            if (!stopped.stopped || stopped.text.size() != 3) std::exit(1);
            if (session.history().size() != 2 || session.history()[1].content != stopped.text) std::exit(2);
            const ChatAnswer next = session.answer("again", [&](std::string_view) { std::raise(SIGINT); });
            if (!next.stopped || next.reused_tokens < stopped.prompt_tokens) std::exit(3);
            try {
                session.answer("last", [&](std::string_view) { std::raise(SIGTERM); });
            } catch (const Interrupted& interrupted) {
                std::exit(interrupted.exit_code());
            }
        },
        ::testing::ExitedWithCode(143), "");
}

}  // namespace
}  // namespace plasticity
