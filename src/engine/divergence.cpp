#include "engine/divergence.h"

#include <algorithm>
#include <cmath>

namespace plasticity {
namespace {

/// ln Σ exp(logits), and where the largest logit stands.
struct Normalizer {
    double log_sum = 0;
    std::size_t top = 0;
};

Normalizer normalize(std::span<const float> logits) {
    const auto top = static_cast<std::size_t>(std::max_element(logits.begin(), logits.end()) - logits.begin());
    const float largest = logits[top];
    double sum = 0;
    for (const float logit : logits) sum += static_cast<double>(std::exp(logit - largest));
    return {static_cast<double>(largest) + std::log(sum), top};
}

double divergence(std::span<const float> base, const Normalizer& p, std::span<const float> model, const Normalizer& q) {
    double kl = 0;
    for (std::size_t id = 0; id < base.size(); ++id) {
        const double log_p = base[id] - p.log_sum, log_q = model[id] - q.log_sum;
        kl += static_cast<double>(std::exp(static_cast<float>(log_p))) * (log_p - log_q);
    }
    return kl;
}

}  // namespace

PositionOutcome compare_position(std::span<const float> base, std::span<const float> model, std::int32_t next) {
    const Normalizer p = normalize(base), q = normalize(model);
    const auto target = static_cast<std::size_t>(next);
    return {divergence(base, p, model, q), p.log_sum - base[target], q.log_sum - model[target], p.top == q.top};
}

double kl_divergence(std::span<const float> base, std::span<const float> model) {
    return divergence(base, normalize(base), model, normalize(model));
}

double log_softmax_at(std::span<const float> logits, std::int32_t token) {
    return logits[static_cast<std::size_t>(token)] - normalize(logits).log_sum;
}

double entropy(std::span<const float> logits) {
    const double log_sum = normalize(logits).log_sum;
    double sum = 0;
    for (const float logit : logits) sum -= std::exp(logit - log_sum) * (logit - log_sum);
    return sum;
}

}  // namespace plasticity
