#pragma once

#include "core/progress.h"
#include "io/gguf_reader.h"
#include "verify/subject.h"

namespace plasticity {

/// "numerics": every block of every tensor dequantises to finite numbers. Reads the whole file; stops soon after the
/// first finding, which is the first in file order whatever the number of threads.
/// @throws Error (kIo), Interrupted
Check check_numerics(const GgufReader& file, int threads, Progress& progress);

}  // namespace plasticity
