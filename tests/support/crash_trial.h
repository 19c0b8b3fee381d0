#pragma once

// One command, killed at random moments: what is left, and what the next run makes of it.

#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "support/file_content.h"
#include "support/running_program.h"
#include "support/temp_dir.h"

namespace plasticity::test {

struct CrashSummary {
    int killed = 0;     ///< of the runs; the others were quicker than the signal
    int complete = 0;   ///< killed, or finished, with the whole target in place
    int left_part = 0;  ///< killed with a temporary left
    int continued = 0;  ///< next runs that kept some of it
};

/// Sends signals at moments that spread evenly over the time that the command took last, and half as much again: on a
/// busy machine that time changes while a test runs.
class CrashTrial {
public:
    /// @param arguments  a command that writes `target`, without --force, and says "continues after" when it resumes
    CrashTrial(std::vector<std::string> arguments, std::filesystem::path target)
        : arguments_(std::move(arguments)), target_(std::move(target)) {
        finish();
        whole_ = read_bytes(target_);
        EXPECT_FALSE(whole_.empty());
        std::filesystem::remove(target_);
    }

    /// How often a test tries: PLASTICITY_TEST_KILLS where it is set.
    static int repetitions(int otherwise) {
        const char* asked = std::getenv("PLASTICITY_TEST_KILLS");
        return asked != nullptr ? std::atoi(asked) : otherwise;
    }

    CrashSummary kill_often(int times) {
        CrashSummary summary;
        for (int i = 0; i < times && !testing::Test::HasFailure(); ++i) {
            RunningProgram program(arguments_, scratch_.path());
            std::this_thread::sleep_for(next_moment());
            program.send(SIGKILL);
            program.wait();
            summary.killed += program.signal() == SIGKILL ? 1 : 0;
            check_after_kill(summary);
        }
        return summary;
    }

    /// As a user interrupts: nothing is left, and the exit code says so. @returns how many were interrupted in time
    int interrupt_often(int signal, int times) {
        int interrupted = 0;
        for (int i = 0; i < times && !testing::Test::HasFailure(); ++i) {
            RunningProgram program(arguments_, scratch_.path());
            std::this_thread::sleep_for(next_moment());
            program.send(signal);
            const Finished finished = program.wait();
            const bool was_early = program.signal() == signal;  // before main() took charge of signals
            if (finished.exit_code == 128 + signal) ++interrupted;
            EXPECT_TRUE(was_early || finished.exit_code == 0 || finished.exit_code == 128 + signal) << finished.err;
            EXPECT_EQ(std::filesystem::exists(target_), finished.exit_code == 0);
            EXPECT_FALSE(has_leftovers()) << finished.err;
            std::filesystem::remove(target_);
        }
        return interrupted;
    }

    bool has_leftovers() const {
        const auto is_partial = [](const auto& entry) {
            return entry.path().filename().string().find(".partial") != std::string::npos;
        };
        const auto entries = std::filesystem::directory_iterator(target_.parent_path());
        return std::any_of(begin(entries), end(entries), is_partial);
    }

    const std::string& whole() const { return whole_; }

private:
    std::chrono::duration<double> next_moment() {
        return duration_ * std::uniform_real_distribution<double>(0, 1.5)(random_);
    }

    void check_after_kill(CrashSummary& summary) {
        if (std::filesystem::exists(target_)) {
            EXPECT_TRUE(read_bytes(target_) == whole_) << "a killed run left a target that is not whole";
            ++summary.complete;
            std::filesystem::remove(target_);
        }
        summary.left_part += has_leftovers() ? 1 : 0;
        const Finished next = finish();
        EXPECT_TRUE(read_bytes(target_) == whole_) << "the next run made another file";
        EXPECT_FALSE(has_leftovers());
        summary.continued += next.err.find("continues after") != std::string::npos ? 1 : 0;
        std::filesystem::remove(target_);
    }

    Finished finish() {
        const auto started = std::chrono::steady_clock::now();
        Finished finished = RunningProgram(arguments_, scratch_.path()).wait();
        duration_ = std::chrono::steady_clock::now() - started;
        EXPECT_EQ(finished.exit_code, 0) << finished.err;
        return finished;
    }

    std::vector<std::string> arguments_;
    std::filesystem::path target_;
    TempDir scratch_;
    std::chrono::duration<double> duration_{};
    std::string whole_;
    std::mt19937_64 random_{1};
};

}  // namespace plasticity::test
