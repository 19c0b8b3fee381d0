#include "core/interrupt.h"

#include <gtest/gtest.h>

#include <csignal>
#include <cstdlib>

namespace plasticity {
namespace {

/// Raises a signal as a user would and ends with the code that main() would end with.
[[noreturn]] void exit_as_main_would(int signal) {
    install_signal_handlers();
    throw_if_interrupted();  // nothing yet
    std::raise(signal);
    try {
        throw_if_interrupted();
    } catch (const Interrupted& interrupted) {
        std::exit(interrupted.exit_code());
    }
    std::exit(0);
}

// In processes of their own: the flag stays up once a signal has come.
TEST(InterruptDeathTest, EndsAsShellsExpect) {
    GTEST_FLAG_SET(death_test_style, "threadsafe");
    EXPECT_EXIT(exit_as_main_would(SIGINT), ::testing::ExitedWithCode(130), "");
    EXPECT_EXIT(exit_as_main_would(SIGTERM), ::testing::ExitedWithCode(143), "");
}

TEST(InterruptDeathTest, KeepsSignalsIgnoredThatTheParentIgnored) {
    GTEST_FLAG_SET(death_test_style, "threadsafe");
    EXPECT_EXIT(
        {
            std::signal(SIGINT, SIG_IGN);
            exit_as_main_would(SIGINT);
        },
        ::testing::ExitedWithCode(0), "");
}

TEST(InterruptDeathTest, SigintCanBeForgottenSigtermNot) {
    GTEST_FLAG_SET(death_test_style, "threadsafe");
    EXPECT_EXIT(
        {
            install_signal_handlers();
            std::raise(SIGINT);
            if (!forget_sigint() || forget_sigint()) std::exit(1);
            throw_if_interrupted();
            std::raise(SIGTERM);
            std::raise(SIGINT);
            if (forget_sigint()) std::exit(2);
            try {
                throw_if_interrupted();
            } catch (const Interrupted& interrupted) {
                std::exit(interrupted.exit_code());
            }
        },
        ::testing::ExitedWithCode(143), "");
}

TEST(Interrupt, PassesWhereNothingHasHappened) {
    EXPECT_NO_THROW(throw_if_interrupted());
}

}  // namespace
}  // namespace plasticity
