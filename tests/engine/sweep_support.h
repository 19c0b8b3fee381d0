#pragma once

// Single examples through Backpropagation::sweep().

#include <cstdint>
#include <span>

#include "engine/backpropagation.h"

namespace plasticity::test {

/// Shows the curvature of one example.
inline void observe_curvature(Backpropagation& engine, const Example& example, std::uint64_t seed,
                              const CurvatureObserver& observer) {
    const Visit visit{.example = &example, .curvature_seed = seed};
    engine.sweep(std::span(&visit, 1), {.activations = {}, .curvature = observer, .progressed = {}});
}

/// Trains on one example.
inline ExampleGradients train(Backpropagation& engine, const Example& example, const LoraTraining& training,
                              const LoraDropout& dropout = {}) {
    const Visit visit{.example = &example, .dropout = dropout};
    return engine.sweep(std::span(&visit, 1), {}, &training).front();
}

}  // namespace plasticity::test
