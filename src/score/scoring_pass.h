#pragma once

#include "artifact/gate_gradients.h"
#include "artifact/statistics.h"
#include "core/progress.h"
#include "engine/examples.h"
#include "score/checkpoint.h"
#include "score/curvature_collector.h"
#include "score/example_order.h"
#include "score/fine_tune.h"
#include "score/team.h"

namespace plasticity {

/// What the examples of a run pass through, one after the other.
struct ScoringPass {
    Backpropagation& engine;
    const ExampleSet& set;
    const ExampleOrder& order;
    const Team& team;
    GateGradients& gradients;                       ///< num_steps of the visits are in it already
    Statistics& statistics;                         ///< of the visits of this process
    ActivationObserver observer;                    ///< may be empty
    const CurvatureCollector* curvature = nullptr;  ///< nullptr: nobody asks
    FineTune* training = nullptr;                   ///< nullptr: nothing is trained
    const Checkpoint* checkpoint = nullptr;         ///< nullptr: none are kept
    std::int32_t checkpoint_every = 16;             ///< examples
};

/// @throws Error (kMalformed, kIo), Interrupted
void run_pass(const ScoringPass& pass, Progress& progress);

}  // namespace plasticity
