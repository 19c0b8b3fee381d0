#pragma once

// Several ranks in one process: a thread each.

#include <atomic>
#include <barrier>
#include <exception>
#include <functional>
#include <mutex>
#include <stdexcept>
#include <thread>
#include <vector>

#include "core/ranks.h"

namespace plasticity::test {

class ThreadRanks : public Ranks {
public:
    struct Meeting {
        explicit Meeting(int n) : barrier(n), given(static_cast<std::size_t>(n)) {}
        std::barrier<> barrier;
        std::vector<std::vector<std::byte>> given;
        std::atomic<bool> is_left = false;  ///< by one that threw
    };

    ThreadRanks(Meeting& meeting, int rank) : meeting_(meeting), rank_(rank) {}
    int rank() const override { return rank_; }
    int size() const override { return static_cast<int>(meeting_.given.size()); }
    std::vector<std::vector<std::byte>> exchange(std::span<const std::byte> mine) override {
        meeting_.given[static_cast<std::size_t>(rank_)].assign(mine.begin(), mine.end());
        meeting_.barrier.arrive_and_wait();
        auto all = meeting_.given;
        meeting_.barrier.arrive_and_wait();  // nobody gives anew before everybody has taken
        if (meeting_.is_left) throw std::runtime_error("another rank has left");
        return all;
    }

private:
    Meeting& meeting_;
    int rank_;
};

/// Runs body(ranks) as each of n ranks, and rethrows the exception of the first that threw.
inline void run_as_ranks(int n, const std::function<void(Ranks&)>& body) {
    ThreadRanks::Meeting meeting(n);
    std::exception_ptr thrown;
    std::mutex mutex;
    std::vector<std::thread> threads;
    for (int rank = 0; rank < n; ++rank)
        threads.emplace_back([&, rank] {
            ThreadRanks ranks(meeting, rank);
            try {
                body(ranks);
            } catch (...) {
                const std::lock_guard lock(mutex);
                meeting.is_left = true;
                if (!thrown) thrown = std::current_exception();
                meeting.barrier.arrive_and_drop();  // nobody waits for it
            }
        });
    for (std::thread& thread : threads) thread.join();
    if (thrown) std::rethrow_exception(thrown);
}

}  // namespace plasticity::test
