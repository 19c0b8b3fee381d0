#pragma once

#include <ggml.h>

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace plasticity {

/// Heads with a lower score are removed.
inline constexpr double kRemovedBelow = 0.1;

/// How precisely what serves a head of this score is stored: < 0.3 lowest, < 0.5 low, < 0.7 medium, else high.
enum class Tier { kLowest, kLow, kMedium, kHigh };

Tier tier_of(double score);
std::string_view tier_name(Tier tier);

/// Types that a matrix may have, most bits first: 16-bit floats, then the K types where rows divide by 256, then the
/// 32-wide types where they divide by 32. No type with fewer bits than `floor`; never empty.
std::vector<ggml_type> type_ladder(std::int64_t row_length, ggml_type floor);

/// Index in the ladder of the type that a tier starts at: its K type, or the next one at or above as many bits.
std::size_t start_level(const std::vector<ggml_type>& ladder, Tier tier);

}  // namespace plasticity
