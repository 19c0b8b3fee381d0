#pragma once

#include <string>

#include "artifact/recipe.h"

namespace plasticity {

/// A recipe as a table for a terminal: what each block keeps and its types, the budget by part, and every reason.
std::string explain(const Recipe& recipe);

}  // namespace plasticity
