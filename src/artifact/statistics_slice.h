#pragma once

#include "artifact/statistics.h"
#include "io/gguf_reader.h"
#include "io/gguf_writer.h"
#include "io/problem_list.h"

namespace plasticity {

/// What makes a statistics file of one slice mergeable: where it came from, as metadata `score.*`, and, beside the F32
/// that llama.cpp reads, the sums of squares and counts in double, `<name>.in_sum2_f64` and `<name>.counts_f64`. Files
/// of whole runs have neither.

void add_slice(const Statistics& statistics, GgufLayout& layout);
/// Writes what add_slice announced.
void write_slice(const Statistics& statistics, GgufWriter& file);

bool is_slice_tensor(std::string_view name);
/// Reads both where the file is a slice's; to be called when all that is in F32 was read.
void read_slice(const GgufReader& file, Statistics& statistics, ProblemList& problems);

}  // namespace plasticity
