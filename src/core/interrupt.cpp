#include "core/interrupt.h"

#include <atomic>
#include <csignal>
#include <initializer_list>

namespace plasticity {
namespace {

std::atomic<int> arrived_signal{0};
static_assert(std::atomic<int>::is_always_lock_free, "a signal handler may touch nothing else");

/// SIGTERM stays: whoever wants the program to end must not lose to somebody who stops an answer.
extern "C" void remember_signal(int signal) {
    int none = 0;
    if (signal != SIGTERM) {
        arrived_signal.compare_exchange_strong(none, signal, std::memory_order_relaxed);
        return;
    }
    arrived_signal.store(signal, std::memory_order_relaxed);
}

}  // namespace

void install_signal_handlers() {
    struct sigaction action{};
    action.sa_handler = remember_signal;
    sigemptyset(&action.sa_mask);
    action.sa_flags = 0;  // no SA_RESTART: a wait for input must end when the user asks for it
    for (const int signal : {SIGINT, SIGTERM}) {
        struct sigaction current{};
        // A parent that had it ignored (nohup, a background job of a script) meant it.
        if (sigaction(signal, nullptr, &current) == 0 && current.sa_handler == SIG_IGN) continue;
        sigaction(signal, &action, nullptr);
    }
}

void throw_if_interrupted() {
    if (const int signal = arrived_signal.load(std::memory_order_relaxed); signal != 0) throw Interrupted(signal);
}

bool is_interrupted() {
    return arrived_signal.load(std::memory_order_relaxed) != 0;
}

bool forget_sigint() {
    int expected = SIGINT;
    return arrived_signal.compare_exchange_strong(expected, 0, std::memory_order_relaxed);
}

}  // namespace plasticity
