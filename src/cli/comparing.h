#pragma once

#include <CLI/CLI.hpp>
#include <filesystem>
#include <vector>

#include "artifact/comparison.h"
#include "cli/command.h"

namespace plasticity {

/// `bench compare`, as given.
struct CompareCommand {
    CommonOptions common;
    std::filesystem::path base;
    std::vector<std::filesystem::path> files;
    std::vector<std::filesystem::path> data;  ///< held-out text
    std::filesystem::path folder;
    std::int32_t context = 512, chunks = 16;
    std::int32_t prompt_tokens = 512, generated_tokens = 64;  ///< 0 of both: speed and memory are not measured
    std::int32_t rounds = 3;
    bool dry_run = false;
    BackendChoice backend;
};

/// Adds `compare` to `bench`.
void add_bench_compare(CLI::App& bench);

/// Quality of all files against the base in one pass over the text, then speed and memory in rounds, file by file. With
/// dry_run: names and sizes alone.
/// @throws Error (kMissing, kMalformed, kUsage, kIo), Interrupted
Comparison compare_files(const CompareCommand& command, Progress& progress);

}  // namespace plasticity
