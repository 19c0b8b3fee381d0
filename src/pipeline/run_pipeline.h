#pragma once

#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>

#include "core/progress.h"
#include "pipeline/pipeline_file.h"

namespace plasticity {

struct PipelineOptions {
    std::filesystem::path file;
    nlohmann::json input = nlohmann::json::object();  ///< name → value; text is taken as YAML takes it
    std::filesystem::path folder;  ///< absolute: what relative paths are relative to, and where Shell steps run
    std::filesystem::path state;   ///< empty: FILE.state.json in the folder
    bool allow_shell = false;
    bool dry_run = false;
    bool repeat = false;  ///< finished steps, too
};

struct PipelineResult {
    /// {"name", "passed", "steps": {NAME: {"status": "done" | "kept" | "failed" | "skipped", "data" or "error"}}}
    nlohmann::ordered_json document;
    int exit_code = 0;          ///< of the first step that stopped the pipeline
    std::string error_message;  ///< of that step; empty where a verification failed, or nothing did
};

/// Runs a pipeline's steps in their order. A step that an earlier run has finished from the same parameters and inputs,
/// and whose outputs are there, is kept; one that was interrupted continues.
/// @throws Error (kUsage, kMissing, kMalformed) before anything runs, kIo; Interrupted
PipelineResult run_pipeline(const PipelineOptions& options, Progress& progress);

}  // namespace plasticity
