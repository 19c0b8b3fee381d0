#pragma once

#include <CLI/CLI.hpp>
#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "cli/command.h"
#include "cli/fine_tune_options.h"
#include "cli/stage_chain.h"
#include "plasticity/backend_choice.h"
#include "plasticity/score.h"

namespace plasticity {

/// How a command that scores for its own later stages is asked to: `run` and `tune`.
struct ScoringArguments {
    std::vector<std::filesystem::path> data;
    std::vector<std::filesystem::path> eval_data;
    std::int64_t tokens = 0;
    std::int32_t chunk = 512;
    std::string precision = "auto";
    bool with_gram = false;
    std::int64_t gram_tokens = kDefaultGramTokens;

    std::vector<std::filesystem::path> texts() const;  ///< data and eval_data
};

inline constexpr auto kGramTokensHelp =
    "With --gram: that they are summed over, by forward passes after scoring; 0: all of the data";

/// --data, --eval-data, --tokens, --chunk, --precision, --gram and --gram-tokens.
void add_scoring_options(CLI::App& command, ScoringArguments& arguments);

/// What scoring leaves in the command's folder.
struct ScoringFiles {
    explicit ScoringFiles(const std::filesystem::path& folder);

    std::filesystem::path scores, statistics, gram, adapter;
};

struct ScoringStage {
    const ScoringArguments& arguments;
    const CommonOptions& common;
    std::filesystem::path model;
    std::vector<std::filesystem::path> calibration;  ///< of the data, what is scored
    ScoringFiles files;
    const FineTuneArguments* fine_tune = nullptr;  ///< nullptr: nothing is trained
    BackendChoice backend;
};

/// Scores as the chain's next stage; continues one that was killed.
/// @throws as score
void run_scoring(const ScoringStage& stage, StageChain& chain, Progress& progress);

}  // namespace plasticity
