#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "artifact/frontier.h"
#include "cli/command.h"
#include "cli/scoring.h"
#include "plasticity/backend_choice.h"

namespace plasticity {

struct TuneCommand {
    CommonOptions common;
    ScoringArguments scoring;
    std::filesystem::path model;
    std::filesystem::path folder;
    std::string device;
    std::int32_t context = 0;  ///< 0: as plan
    std::string kv_type = "f16";
    std::string floor = "q3_K_S";
    std::vector<double> bits{3.5, 4, 4.5, 5, 6, 8};          ///< per weight, of files to try
    std::vector<std::string> variants{"optimal", "pruned"};  ///< of the planner: also "tiers"
    double max_kl = 0.02;                                    ///< divergence that is good enough, nats per token
    std::int32_t eval_chunks = 8;
    BackendChoice backend;
};

/// Scores once, then plans, writes, measures and removes a file for every variant at every size that fits the device,
/// and keeps the one to recommend as model.gguf. What was measured before is not measured again.
/// @throws Error (kUsage where there is no held-out text; as the stages; kInfeasible where no plan fits), Interrupted
Frontier tune(const TuneCommand& command, Progress& progress);

}  // namespace plasticity
