#pragma once

#include <cstddef>
#include <functional>

namespace plasticity {

/// Runs body(i) for every i in [0, count) on up to `n_threads` threads; returns when all are done.
/// Work is handed out one index at a time, so bodies may differ in cost; results must not depend on who runs what.
/// The first exception a body throws is rethrown here after every thread has stopped.
void parallel_for(int n_threads, std::size_t count, const std::function<void(std::size_t)>& body);

/// Threads to use when the user names none: the processors this process may run on.
int default_thread_count();
/// That many where a user asked for some; 0: default_thread_count().
inline int thread_count(int asked) {
    return asked > 0 ? asked : default_thread_count();
}

}  // namespace plasticity
