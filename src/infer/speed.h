#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "artifact/measured_series.h"
#include "core/progress.h"
#include "engine/cache_request.h"

namespace plasticity {

struct SpeedOptions {
    std::filesystem::path model;
    std::int32_t prompt_tokens = 512;     ///< 0: no prompt is measured
    std::int32_t generated_tokens = 128;  ///< 0: no generation is measured
    std::int32_t repetitions = 3;
    CacheRequest cache;  ///< context 0: what the longer of the two takes
    int threads = 0;
    BackendChoice backend;
};

/// Tokens per second.
struct SpeedSeries : MeasuredSeries {
    std::int32_t tokens = 0;  ///< of each run
};

struct Speed {
    SpeedSeries prompt, generation;
    double load_seconds = 0;
    int threads = 0;
    std::string backend;  ///< "CPU", or a device with its description
    std::uint64_t file_bytes = 0;
    std::uint64_t weight_bytes = 0;
    std::uint64_t cache_bytes = 0;
    std::uint64_t compute_bytes = 0;
    std::uint64_t peak_resident_bytes = 0;  ///< of the process; 0 where the system does not tell
};

/// As llama-bench measures: the prompt from an empty context in one go, generation from an empty context token by
/// token, each token an arbitrary one, logits computed for every generated token and for the prompt's last. The
/// prompt and two tokens beforehand do not count.
/// @throws Error (kMissing, kMalformed, kUsage, kIo), Interrupted
Speed measure_speed(const SpeedOptions& options, Progress& progress);

}  // namespace plasticity
