#pragma once

#include <string_view>

#include "artifact/gate_gradients.h"
#include "artifact/statistics.h"
#include "model/model.h"

namespace plasticity {

/// Layers and heads of the scores are the model's. @throws Error (kMalformed) with every difference
void require_scores_fit(const GateGradients& scores, const Architecture& architecture, std::string_view where);

/// Every matrix of the statistics is one of the model's, with as many columns. @throws Error (kMalformed)
void require_statistics_fit(const Statistics& statistics, const Model& model, std::string_view where);

}  // namespace plasticity
