#pragma once

#include <vector>

#include "artifact/recipe.h"
#include "plan/head_pruning.h"
#include "plan/matrix_choice.h"

namespace plasticity {

/// Patterns and reasons for every tensor of the output, in the order of the file. A block's attention or feed-forward
/// part is one line where its matrices came to the same type in the same way; otherwise each matrix is named.
std::vector<QuantAssignment> assignments_of(const std::vector<MatrixChoice>& choices, const HeadPruning& heads);

}  // namespace plasticity
