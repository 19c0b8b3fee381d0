#pragma once

#include <cstdint>

#include "artifact/statistics.h"
#include "io/gguf_reader.h"
#include "io/gguf_writer.h"
#include "io/problem_list.h"

namespace plasticity {

/// Of one tensor of a statistics file: no matrix has so many rows or columns. Bounds memory before anything is read.
inline constexpr std::uint64_t kMaxStatisticsBytes = std::uint64_t{1} << 30;

/// Curvature inside a statistics file: `<name>.out_grad2`, `<name>.in_grad2`, `<name>.gate_grad2` and
/// `<name>.grad2_count`, F64 so that sums merge exactly. Readers of imatrix files pass over names they do not know.

/// Notes every entry that is not sound.
void check_curvature(const Statistics& statistics, ProblemList& problems);
void add_curvature_tensors(const Statistics& statistics, GgufLayout& layout);
/// Writes what add_curvature_tensors announced.
void write_curvature(const Statistics& statistics, GgufWriter& file);

/// Takes a tensor if its name is one of the above. @returns whether it is
bool read_curvature_tensor(const GgufReader& file, const GgufTensor& tensor, Statistics& statistics,
                           ProblemList& problems);

}  // namespace plasticity
