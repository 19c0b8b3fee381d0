#pragma once

#include <cstdio>
#include <memory>

#include "plasticity/progress.h"  // IWYU pragma: export

namespace plasticity {

/// As make_progress(style), to another stream; `is_terminal` chooses between bar and lines. For tests.
std::unique_ptr<Progress> make_progress(ProgressStyle style, std::FILE* stream, bool is_terminal);

}  // namespace plasticity
