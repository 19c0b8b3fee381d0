#include "engine/token_probability.h"

#include <algorithm>
#include <cmath>
#include <numeric>

namespace plasticity {

std::vector<std::int32_t> token_ids(std::span<const ScoredToken> tokens) {
    std::vector<std::int32_t> ids;
    for (const ScoredToken& token : tokens) ids.push_back(token.token);
    return ids;
}

ScoredToken score_token(std::span<const float> logits, std::int32_t token, std::size_t n_top) {
    const float largest = *std::max_element(logits.begin(), logits.end());
    double sum = 0;
    for (const float logit : logits) sum += std::exp(static_cast<double>(logit) - largest);
    const double normaliser = largest + std::log(sum);
    const auto log_probability = [&](std::int32_t id) {
        return static_cast<float>(logits[static_cast<std::size_t>(id)] - normaliser);
    };
    ScoredToken scored{.token = token, .log_probability = log_probability(token)};
    if (n_top == 0) return scored;

    std::vector<std::int32_t> ids(logits.size());
    std::iota(ids.begin(), ids.end(), 0);
    const auto end = ids.begin() + static_cast<std::ptrdiff_t>(std::min(n_top, ids.size()));
    std::partial_sort(ids.begin(), end, ids.end(), [&](std::int32_t a, std::int32_t b) {
        const float first = logits[static_cast<std::size_t>(a)], second = logits[static_cast<std::size_t>(b)];
        return first != second ? first > second : a < b;
    });
    for (auto id = ids.begin(); id != end; ++id) scored.top.push_back({*id, log_probability(*id)});
    return scored;
}

}  // namespace plasticity
