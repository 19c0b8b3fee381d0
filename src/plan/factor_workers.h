#pragma once

#include <algorithm>
#include <cstdint>

#include "core/parallel.h"

namespace plasticity {

/// Threads that work with a factor of a Gram matrix each: together within 2 GiB, as long as one fits.
/// @param bytes  of the largest factor; 0: none is needed
/// @param threads  0: all processors
inline int factor_workers(std::uint64_t bytes, int threads) {
    constexpr std::uint64_t kTogether = std::uint64_t{2} << 30;
    const int most = thread_count(threads);
    return bytes == 0
               ? most
               : static_cast<int>(std::clamp<std::uint64_t>(kTogether / bytes, 1, static_cast<std::uint64_t>(most)));
}

}  // namespace plasticity
