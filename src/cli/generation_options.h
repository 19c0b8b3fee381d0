#pragma once

#include <CLI/CLI.hpp>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "engine/cache_request.h"
#include "plasticity/draft.h"
#include "plasticity/sampler_options.h"

namespace plasticity {

/// A text given on the command line or as a file.
struct TextSource {
    std::string text;
    std::filesystem::path file;

    bool given() const { return !text.empty() || !file.empty(); }
    /// The text, or the file's without its last line break. @throws Error (kMissing, kMalformed, kIo)
    std::string read() const;
};

/// Adds --temp, --top-k, --top-p, --min-p, the penalties, --grammar and --grammar-file, as llama.cpp names them.
/// --seed is everyone's (CommonOptions).
void add_sampler_options(CLI::App& command, SamplerOptions& options, TextSource& grammar);

/// Adds --lora.
void add_lora_option(CLI::App& command, std::optional<std::filesystem::path>& path);
/// Adds --draft and --draft-max.
void add_draft_options(CLI::App& command, DraftRequest& request);

/// "; 40 of 64 guessed tokens accepted", or nothing where none were guessed.
std::string draft_text(const DraftCounts& counts);

/// Adds -c/--ctx-size and --kv-type. @param context_help  what happens without -c
void add_cache_options(CLI::App& command, CacheRequest& request, const std::string& context_help);

}  // namespace plasticity
