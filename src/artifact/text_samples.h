#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "io/atomic_file.h"

namespace plasticity {

/// How the two models go on with a prompt, each token the likeliest.
struct TextSample {
    std::string prompt;
    std::optional<std::string> base;  ///< nothing where the base was not run
    std::string compressed;
};

/// What a run tried its output on: samples.json.
struct TextSamples {
    static constexpr int kSchemaVersion = 1;

    std::string backend;                                     ///< "CPU", or a device with its description
    double generated_tokens_per_second = 0;                  ///< of the output, over the first sample
    std::optional<double> base_generated_tokens_per_second;  ///< with the first sample's `base`
    std::vector<TextSample> samples;
};

std::string text_samples_to_json(const TextSamples& samples);
/// @param where  what the text is, for messages. @throws Error (kMalformed)
TextSamples text_samples_from_json(std::string_view text, const std::string& where);

void save_text_samples(const TextSamples& samples, const std::filesystem::path& target, Overwrite overwrite);
/// @throws Error (kMissing, kMalformed, kIo)
TextSamples load_text_samples(const std::filesystem::path& path);

}  // namespace plasticity
