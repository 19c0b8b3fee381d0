#include "plan/tiers.h"

#include <fmt/format.h>

#include <array>

#include "artifact/type_names.h"

namespace plasticity {
namespace {

constexpr double kLowestBelow = 0.3;
constexpr double kLowBelow = 0.5;
constexpr double kMediumBelow = 0.7;

constexpr std::array kWide{GGML_TYPE_Q8_0,   GGML_TYPE_Q6_K, GGML_TYPE_Q5_K, GGML_TYPE_Q4_K,
                           GGML_TYPE_IQ4_XS, GGML_TYPE_Q3_K, GGML_TYPE_Q2_K};
// Q4_0 is missing on purpose: IQ4_NL takes as many bits and is closer to the weights.
constexpr std::array kNarrow{GGML_TYPE_Q8_0, GGML_TYPE_Q5_1, GGML_TYPE_Q5_0, GGML_TYPE_Q4_1, GGML_TYPE_IQ4_NL};

/// Indexed by Tier.
constexpr std::array kStart{GGML_TYPE_Q3_K, GGML_TYPE_Q4_K, GGML_TYPE_Q5_K, GGML_TYPE_Q6_K};

}  // namespace

Tier tier_of(double score) {
    if (score < kLowestBelow) return Tier::kLowest;
    if (score < kLowBelow) return Tier::kLow;
    return score < kMediumBelow ? Tier::kMedium : Tier::kHigh;
}

std::string_view tier_name(Tier tier) {
    constexpr std::array<std::string_view, 4> kNames{"lowest", "low", "medium", "high"};
    return kNames[static_cast<std::size_t>(tier)];
}

std::vector<ggml_type> type_ladder(std::int64_t row_length, ggml_type floor) {
    std::vector<ggml_type> ladder{GGML_TYPE_F16};
    const auto add = [&](ggml_type type) {
        if (bits_per_weight(type) >= bits_per_weight(floor)) ladder.push_back(type);
    };
    if (row_length % ggml_blck_size(GGML_TYPE_Q4_K) == 0) {
        for (const ggml_type type : kWide) add(type);
    } else if (row_length % ggml_blck_size(GGML_TYPE_IQ4_NL) == 0) {
        for (const ggml_type type : kNarrow) add(type);
    }
    return ladder;
}

std::size_t start_level(const std::vector<ggml_type>& ladder, Tier tier) {
    const double wanted_bits = bits_per_weight(kStart[static_cast<std::size_t>(tier)]);
    std::size_t level = 0;
    while (level + 1 < ladder.size() && bits_per_weight(ladder[level + 1]) >= wanted_bits) ++level;
    return level;
}

}  // namespace plasticity
