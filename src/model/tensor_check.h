#pragma once

#include <vector>

#include "io/problem_list.h"
#include "model/architecture.h"
#include "model/model.h"

namespace plasticity {

/// Every weight that the architecture needs is there with the shape it must have, none is there twice, and none that
/// it has no place for. Blocks without heads have no attention weights.
void check_tensors(const Architecture& architecture, const std::vector<ModelTensor>& tensors, ProblemList& problems);

/// Of a file with continuum.padded_columns: matrices whose rows are as long as whole blocks of their type want get the
/// columns that the architecture has, the rest being padding. All others stay as they are, for check_tensors to judge.
void take_off_padded_columns(const Architecture& architecture, std::vector<ModelTensor>& tensors);

/// Rows of a block's weight, or entries of its bias; 0 where the architecture has none.
std::int64_t rows_of(const Architecture& architecture, const TensorId& id);

/// Embedding, RoPE frequencies, blocks in order, output norm, output.
void sort_tensors(std::vector<ModelTensor>& tensors);

}  // namespace plasticity
