#pragma once

#include <string_view>
#include <vector>

#include "artifact/statistics.h"
#include "model/model.h"

namespace plasticity {

/// How much each input channel of a matrix counts when its rows are quantised: [cols] mean squares of what it reads.
/// What plans a type and what quantises to it must weigh alike.
/// @returns empty when the statistics say nothing of the matrix
/// @throws Error (kMalformed) when they have another number of channels
std::vector<float> channel_importance(const Statistics& statistics, const ModelTensor& matrix);

}  // namespace plasticity
