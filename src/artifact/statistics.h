#pragma once

#include <filesystem>
#include <span>

#include "model/architecture.h"
#include "plasticity/statistics.h"  // IWYU pragma: export

namespace plasticity {

/// As load_statistics(path), for a model of this architecture. Where its embedding is the output matrix too, what was
/// counted under output.weight, as llama-imatrix does and as scoring of a source with two matrices did, stands under
/// token_embd.weight, unless something does already.
Statistics load_statistics(const std::filesystem::path& path, const Architecture& architecture);

}  // namespace plasticity
