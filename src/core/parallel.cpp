#include "core/parallel.h"

#include <algorithm>
#include <atomic>
#include <exception>
#include <mutex>
#include <system_error>
#include <thread>
#include <vector>

#ifdef __linux__
#include <sched.h>
#endif

namespace plasticity {
namespace {

/// Hands out indices until none is left or a body has thrown.
class WorkQueue {
public:
    WorkQueue(std::size_t count, const std::function<void(std::size_t)>& body) : count_(count), body_(body) {}

    void work() noexcept {
        try {
            while (!stopped_.load(std::memory_order_relaxed)) {
                const std::size_t index = next_.fetch_add(1, std::memory_order_relaxed);
                if (index >= count_) return;
                body_(index);
            }
        } catch (...) {
            const std::lock_guard lock(mutex_);
            if (!first_exception_) first_exception_ = std::current_exception();
            stopped_.store(true, std::memory_order_relaxed);
        }
    }

    void rethrow_if_any() const {
        if (first_exception_) std::rethrow_exception(first_exception_);
    }

private:
    const std::size_t count_;
    const std::function<void(std::size_t)>& body_;
    std::atomic<std::size_t> next_{0};
    std::atomic<bool> stopped_{false};
    std::mutex mutex_;
    std::exception_ptr first_exception_;
};

}  // namespace

void parallel_for(int n_threads, std::size_t count, const std::function<void(std::size_t)>& body) {
    WorkQueue queue(count, body);
    {
        const std::size_t wanted = std::min(static_cast<std::size_t>(std::max(n_threads, 1)), count);
        std::vector<std::jthread> helpers;
        try {
            for (std::size_t i = 1; i < wanted; ++i) helpers.emplace_back([&queue] { queue.work(); });
        } catch (const std::system_error&) {
            // No more threads to be had: those that run, this one at least, do all the work.
        }
        queue.work();
    }
    queue.rethrow_if_any();
}

int default_thread_count() {
#ifdef __linux__
    cpu_set_t allowed;
    CPU_ZERO(&allowed);
    if (sched_getaffinity(0, sizeof allowed, &allowed) == 0) return std::max(CPU_COUNT(&allowed), 1);
#endif
    return std::max(static_cast<int>(std::thread::hardware_concurrency()), 1);
}

}  // namespace plasticity
