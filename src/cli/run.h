#pragma once

#include <CLI/CLI.hpp>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>

#include "artifact/reproduction.h"
#include "cli/command.h"
#include "cli/fine_tune_options.h"
#include "cli/plan_options.h"
#include "cli/run_summary.h"
#include "cli/scoring.h"
#include "plasticity/backend_choice.h"

namespace plasticity {

/// `plasticity run` as it was asked for.
struct RunCommand {
    CommonOptions common;
    PlanArguments arguments;
    ScoringArguments scoring;
    std::int32_t eval_chunks = 8;
    BackendChoice backend;
    FineTuneArguments fine_tune;
    std::string prompt = "def is_prime(n):";
    std::filesystem::path folder;
    std::optional<std::filesystem::path> reproduce;  ///< reproduce.json of the run that is to be done again

    std::string typed_model;             ///< before it is looked up
    const CLI::App* parsed = nullptr;    ///< where options and what was given to them stand
    std::shared_ptr<CLI::App> replayed;  ///< that, where they come from a file
    std::optional<Reproduction> wanted;  ///< that file
};

/// The five stages over files in one folder; a stage whose inputs are as they were is not repeated. Then what shows the
/// outcome: samples.json, reproduce.json, report.html, README.md, Modelfile.
/// @throws as the stages do; kMalformed where a run is done again on other inputs
RunSummary execute_run(const RunCommand& command);

}  // namespace plasticity
