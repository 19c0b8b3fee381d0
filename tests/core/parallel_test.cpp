#include "core/parallel.h"

#include <gtest/gtest.h>

#include <atomic>
#include <csignal>
#include <mutex>
#include <set>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "core/interrupt.h"

namespace plasticity {
namespace {

class ParallelForTest : public ::testing::TestWithParam<int> {};
INSTANTIATE_TEST_SUITE_P(Threads, ParallelForTest, ::testing::Values(-1, 0, 1, 2, 3, 16));

TEST_P(ParallelForTest, RunsEveryIndexOnce) {
    std::vector<std::atomic<int>> runs(1000);
    parallel_for(GetParam(), runs.size(), [&](std::size_t i) { ++runs[i]; });
    for (const auto& count : runs) EXPECT_EQ(count, 1);
}

TEST_P(ParallelForTest, DoesNothingForNothing) {
    parallel_for(GetParam(), 0, [](std::size_t) { FAIL(); });
}

TEST_P(ParallelForTest, RethrowsAndStopsEarly) {
    std::atomic<int> runs{0};
    try {
        parallel_for(GetParam(), 1'000'000, [&](std::size_t i) {
            ++runs;
            if (i == 3) throw std::runtime_error("third");
            std::this_thread::yield();
        });
        ADD_FAILURE() << "nothing thrown";
    } catch (const std::runtime_error& error) {
        EXPECT_STREQ(error.what(), "third");
    }
    EXPECT_LT(runs, 1'000'000);
}

TEST_P(ParallelForTest, LetsAnInterruptThrough) {
    EXPECT_THROW(parallel_for(GetParam(), 10, [](std::size_t) { throw Interrupted(SIGTERM); }), Interrupted);
}

TEST(ParallelFor, UsesNoMoreThreadsThanAsked) {
    std::mutex mutex;
    std::set<std::thread::id> seen;
    parallel_for(2, 200, [&](std::size_t) {
        const std::lock_guard lock(mutex);
        seen.insert(std::this_thread::get_id());
    });
    EXPECT_LE(seen.size(), 2u);
}

TEST(DefaultThreadCount, IsAtLeastOne) {
    EXPECT_GE(default_thread_count(), 1);
}

}  // namespace
}  // namespace plasticity
