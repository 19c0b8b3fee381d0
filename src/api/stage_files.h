#pragma once

#include <filesystem>

#include "api/outputs.h"
#include "plasticity/compress.h"
#include "plasticity/plan.h"
#include "plasticity/score.h"
#include "plasticity/verify.h"

namespace plasticity {

// What a stage reads and writes, for require_outputs. @param output  what the stage itself knows nothing of; empty:
// none

CommandFiles files_of(const ScoreOptions& options, const std::filesystem::path& output);
CommandFiles files_of(const PlanOptions& options, const std::filesystem::path& output);
CommandFiles files_of(const VerifyOptions& options, const std::filesystem::path& output);
/// @param recipe  the file; empty: it is planned from `scores`
CommandFiles files_of(const CompressOptions& options, const std::filesystem::path& recipe,
                      const std::filesystem::path& scores);

}  // namespace plasticity
