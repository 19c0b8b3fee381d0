#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "plasticity/export.h"
#include "plasticity/gram_memory.h"

namespace plasticity {

struct Recipe;
class Progress;

struct CompressOptions {
    std::filesystem::path model;
    std::filesystem::path output;
    std::optional<std::filesystem::path> adapter;     ///< PEFT folder that is merged into the weights first
    std::optional<std::filesystem::path> statistics;  ///< importance weights: --stats or --imatrix
    std::optional<std::filesystem::path> gram;        ///< Gram matrices: for compensation and error feedback
    /// Inputs that would take more are taken apart into narrower blocks of channels, so the output depends on it.
    std::uint64_t gram_memory_bytes = kDefaultGramMemory;
    bool with_tokenizer = true;
    bool dry_run = false;  ///< lay out and check, write nothing
    bool overwrite = false;
    int threads = 0;
};

/// What a file is called, without its folder, and its SHA-256 in hexadecimal.
struct HashedFile {
    std::string name;
    std::string sha256;
};

struct CompressResult {
    std::uint64_t file_bytes = 0;
    std::uint64_t source_bytes = 0;
    std::uint64_t tensors = 0;
    std::uint64_t compensated = 0;             ///< of them: their columns took over what pruned ones did
    std::uint64_t with_error_feedback = 0;     ///< of them: errors of earlier columns are made good by later ones
    std::optional<double> output_error_ratio;  ///< squared error of those matrices' outputs ÷ that without, mean
    /// Matrices whose compensation or error feedback a bound on memory lets know less: wide inputs in narrower blocks
    /// of channels than their Gram matrices have.
    std::uint64_t narrowed_by_memory = 0;
    std::uint64_t left_out_by_memory = 0;  ///< likewise, without any
    std::vector<HashedFile> sources;       ///< the model's files, and the adapter's weights; not of a dry run
    std::string sha256;                    ///< of the output; not of a dry run
    double seconds = 0;
};

/// COMPRESS: slice, quantise and write one GGUF in a stream of row tiles. Output bytes do not depend on threads.
/// @throws Error (kUsage, kMissing, kMalformed, kIo), Interrupted; the target then is as it was
CompressResult compress(const CompressOptions& options, const Recipe& recipe, Progress& progress);
/// The same, of a recipe in a file.
PLASTICITY_API CompressResult compress(const CompressOptions& options, const std::filesystem::path& recipe,
                                       Progress& progress);

}  // namespace plasticity
