#pragma once

#include <cstdint>

namespace plasticity {

/// Linear warm-up from 0, then half a cosine down to 0, as transformers' get_cosine_schedule_with_warmup.
struct LearningRate {
    double peak = 0;
    std::int64_t warmup_steps = 0;
    std::int64_t n_steps = 0;

    /// @param step  from 0
    double at(std::int64_t step) const;
};

/// @param share  of the steps that warm up, 0 to 1: ⌈share · n_steps⌉ of them
LearningRate cosine_schedule(double peak, double share, std::int64_t n_steps);

}  // namespace plasticity
