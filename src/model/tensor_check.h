#pragma once

#include <vector>

#include "io/problem_list.h"
#include "model/architecture.h"
#include "model/model.h"

namespace plasticity {

/// Every weight that the architecture needs is there with the shape it must have, none is there twice, and none that
/// it has no place for. Blocks without heads have no attention weights.
void check_tensors(const Architecture& architecture, const std::vector<ModelTensor>& tensors, ProblemList& problems);

/// Rows of a block's weight, or entries of its bias; 0 where the architecture has none.
std::int64_t rows_of(const Architecture& architecture, const TensorId& id);

/// Embedding, RoPE frequencies, blocks in order, output norm, output.
void sort_tensors(std::vector<ModelTensor>& tensors);

}  // namespace plasticity
