#pragma once

#include <CLI/CLI.hpp>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "artifact/reproduction.h"
#include "core/progress.h"

namespace plasticity {

/// What of a run lies in files: the model as it was found, its data as they were split.
struct RunInputs {
    std::filesystem::path model;
    std::vector<std::filesystem::path> calibration, held_out;
};

/// The options of `run` that were given, but for those that no byte depends on: paths, threads, how things are shown.
/// A device that means this machine stands there as what it means.
std::vector<Reproduction::Option> given_options(const CLI::App& run);

/// Gives a command that was not parsed yet the options of a reproduction. @param where  the file, for messages
/// @throws Error (kMalformed) for what `run` does not take, or would not record
void replay_options(const Reproduction& reproduction, CLI::App& run, const std::string& where);

/// The line that was typed, as a shell takes it, with the options that count.
std::string typed_command(const Reproduction& reproduction);

/// The bytes of model and data are those that the file tells of, whatever they are called.
/// @throws Error (kMalformed) naming the first file that differs; kMissing, kIo
void require_same_inputs(const Reproduction& wanted, const RunInputs& inputs, Progress& progress);

/// SHA-256 of the files that `output`, a GGUF of this program, says its weights were read from.
std::vector<FileDigest> source_digests(const std::filesystem::path& model_path, const std::filesystem::path& output);

/// How what was made differs from what was to be made: the output, the first artifact on the way that is another,
/// and what else the two runs do not have in common. Nothing where the output is the same.
std::optional<std::string> difference(const Reproduction& wanted, const Reproduction& made);

}  // namespace plasticity
