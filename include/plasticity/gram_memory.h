#pragma once

#include <cstdint>

namespace plasticity {

/// Most that compensation or error feedback of one input may take while it is made ready, of whatever width: with
/// tiles in flight and all else less than 1 GiB.
inline constexpr std::uint64_t kDefaultGramMemory = std::uint64_t{704} << 20;

}  // namespace plasticity
