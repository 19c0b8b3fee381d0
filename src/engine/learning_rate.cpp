#include "engine/learning_rate.h"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace plasticity {

double LearningRate::at(std::int64_t step) const {
    if (step < warmup_steps) return peak * static_cast<double>(step) / static_cast<double>(warmup_steps);
    const auto decaying = static_cast<double>(std::max<std::int64_t>(1, n_steps - warmup_steps));
    const double done = static_cast<double>(step - warmup_steps) / decaying;
    return peak * std::max(0.0, 0.5 * (1 + std::cos(std::numbers::pi * done)));
}

LearningRate cosine_schedule(double peak, double share, std::int64_t n_steps) {
    return {.peak = peak,
            .warmup_steps = static_cast<std::int64_t>(std::ceil(share * static_cast<double>(n_steps))),
            .n_steps = n_steps};
}

}  // namespace plasticity
