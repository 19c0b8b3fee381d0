#pragma once

#include <filesystem>
#include <optional>

#include "artifact/frontier.h"
#include "artifact/gate_gradients.h"
#include "artifact/recipe.h"
#include "artifact/report.h"
#include "artifact/reproduction.h"
#include "artifact/text_samples.h"
#include "io/gguf_metadata.h"

namespace plasticity {

/// Everything that a folder of `plasticity run` or `tune` tells of the file that was made in it.
struct RunRecord {
    std::uint64_t file_bytes = 0;
    GgufMetadata metadata;  ///< of model.gguf
    Recipe recipe;          ///< that it carries
    std::optional<GateGradients> scores;
    std::optional<Report> report;
    std::optional<Frontier> frontier;
    std::optional<TextSamples> samples;
    std::optional<Reproduction> reproduction;

    std::string model_name() const;  ///< the base's, for people; as its file has it
    /// What was measured of the file, by verify or by tune; nullptr: nothing was.
    const QualityPanel* quality() const;
};

/// @throws Error (kMissing without a model.gguf; kMalformed where a file is not what it claims, or carries no recipe)
RunRecord load_run_record(const std::filesystem::path& folder);

}  // namespace plasticity
