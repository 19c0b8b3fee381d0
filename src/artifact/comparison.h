#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "artifact/machine.h"
#include "artifact/measured_series.h"
#include "artifact/quality.h"

namespace plasticity {

/// How a file runs. Every turn is a process of its own.
struct MeasuredRunning {
    MeasuredSeries prompt, generation;      ///< tokens per second; without runs where it was not asked for
    MeasuredSeries load;                    ///< seconds from opening the file to being ready
    std::uint64_t peak_resident_bytes = 0;  ///< the most of any turn; 0 where the system does not tell
    std::uint64_t weight_bytes = 0, cache_bytes = 0, compute_bytes = 0;  ///< of what the decoder holds
};

/// A file beside its base; the base itself is one without `quality`.
struct ComparedFile {
    std::string path;
    std::string architecture;
    std::uint64_t file_bytes = 0;
    double bits_per_weight = 0;  ///< of the file, for each weight of the base
    std::optional<QualityPanel> quality;
    std::optional<MeasuredRunning> running;
};

struct ComparisonSettings {
    std::vector<std::string> data;
    std::int32_t context = 512, chunks = 0;
    std::int32_t prompt_tokens = 512, generated_tokens = 64, rounds = 3;
    int threads = 0;
};

/// What files of one base cost and are worth: comparison.json.
struct Comparison {
    static constexpr int kSchemaVersion = 1;

    Machine machine;
    ComparisonSettings settings;
    std::vector<ComparedFile> files;  ///< the base first
};

std::string comparison_to_json(const Comparison& comparison);

}  // namespace plasticity
