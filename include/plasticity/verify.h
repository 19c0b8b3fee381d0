#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "plasticity/backend_choice.h"
#include "plasticity/export.h"

namespace plasticity {

struct Report;
class Progress;

struct VerifyOptions {
    std::filesystem::path model;
    std::optional<std::filesystem::path> base;          ///< with `data`: adds the quality panel
    std::optional<std::filesystem::path> base_adapter;  ///< PEFT folder that was merged into the base
    std::vector<std::filesystem::path> data;            ///< held-out text
    std::optional<std::string> device;                  ///< instead of the recipe's
    std::optional<std::filesystem::path> thresholds;    ///< JSON file: what it must keep to
    std::optional<std::filesystem::path> tasks;         ///< JSONL file: prompts with checkers
    std::optional<std::filesystem::path> stock;         ///< with `data`: a folder with llama.cpp's tools
    std::int32_t context = 512;
    std::int32_t chunks = 8;
    int threads = 0;
    BackendChoice backend;
};

/// VERIFY: does the file hold what its recipe says, and how good is it? Failed checks are part of the report.
/// @throws Error (kMissing, kMalformed when the file cannot be read at all, kUsage, kIo), Interrupted
PLASTICITY_API Report verify(const VerifyOptions& options, Progress& progress);

}  // namespace plasticity
