#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>

namespace plasticity {

/// How many tokens two sequences begin with alike.
inline std::size_t common_prefix(std::span<const std::int32_t> a, std::span<const std::int32_t> b) {
    return static_cast<std::size_t>(std::ranges::mismatch(a, b).in1 - a.begin());
}

}  // namespace plasticity
