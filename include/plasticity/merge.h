#pragma once

#include <filesystem>
#include <vector>

#include "plasticity/export.h"

namespace plasticity {

struct GateGradients;
struct Statistics;

/// Adds up what score made of all slices of one run, in slice order, whatever order the files are named in: the same
/// slices give the same bytes. Sums, counts, the mean loss and the moving averages are those of the single run but for
/// the order in which doubles are added (1e-12 relative; signed sums relative to the absolute ones).
/// @throws Error (kUsage for a slice that is named twice or missing, or a file that is no slice's; kMalformed where two
///         differ in model, tokenizer, data, adapter or options; kMissing, kIo)
PLASTICITY_API GateGradients merge_gate_gradients(const std::vector<std::filesystem::path>& slices);
/// The same of statistics.
PLASTICITY_API Statistics merge_statistics(const std::vector<std::filesystem::path>& slices);

}  // namespace plasticity
