#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "io/problem_list.h"
#include "io/safetensors_reader.h"
#include "model/hf_tensors.h"

namespace plasticity {

/// Whole rows of a weight: [begin, end).
struct RowRange {
    std::int64_t begin = 0;
    std::int64_t end = 0;
};

/// Reads rows of a weight out of a folder's shards: their bytes as they are stored, or F32 where they must be computed
/// (FP8, and norms stored minus 1). Takes a few hundred KiB, or two rows, beside `out`, however many rows are wanted.
/// @param out  as many rows of ModelTensor::row_bytes()
/// @throws Error (kIo)
void read_hf_rows(std::span<const SafetensorsReader> shards, const HfSource& source, RowRange rows,
                  std::span<std::byte> out);

/// Every scale of the weight is a number, finite and not negative. Reads all of them: a 16,384th of the weights where
/// blocks are 128 × 128. @throws Error (kIo)
void check_scales(std::span<const SafetensorsReader> shards, const HfSource& source, ProblemList& problems);

}  // namespace plasticity
