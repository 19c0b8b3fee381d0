#pragma once

#include <string>

#include "artifact/comparison.h"
#include "cli/comparing.h"

namespace plasticity {

/// Runs a model once, in a process of its own (`bench speed -r 1`), whose peak memory is then the model's alone; adds
/// what came out to `running`.
/// @throws Error as that process ended, Interrupted
void take_speed_turn(const CompareCommand& command, const std::string& model, MeasuredRunning& running);

}  // namespace plasticity
