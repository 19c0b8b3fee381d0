#pragma once

#include <cstddef>

namespace plasticity {

/// Some systems refuse single reads and writes of 2 GiB and more.
inline constexpr std::size_t kMaxBytesPerCall = std::size_t{1} << 30;

}  // namespace plasticity
