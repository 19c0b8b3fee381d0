#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "plasticity/backend_choice.h"

namespace plasticity {

class Progress;

struct InferOptions {
    std::filesystem::path model;
    std::string prompt;
    std::int32_t max_tokens = 128;
    float temperature = 0.8f;  ///< 0: greedy
    std::int32_t top_k = 40;   ///< 0: off
    float top_p = 0.95f;       ///< 1: off
    float min_p = 0.05f;       ///< 0: off
    std::uint32_t seed = 0;
    std::vector<std::string> stop;
    bool use_chat_template = false;
    int threads = 0;
    BackendChoice backend;
};

struct InferResult {
    std::string text;
    std::int32_t prompt_tokens = 0;
    std::int32_t generated_tokens = 0;
    double prompt_seconds = 0;
    double generation_seconds = 0;
    std::string stop_reason;  ///< "end of text", "stop string", "length"
    std::string backend;      ///< what it ran on: "CPU", or a device with its description
};

/// INFER: completes a prompt. @param on_text  called with each piece of text as it is decided; may be empty
/// @throws Error (kMissing, kMalformed, kUsage when the prompt exceeds the context), Interrupted
InferResult infer(const InferOptions& options, const std::function<void(std::string_view)>& on_text,
                  Progress& progress);

}  // namespace plasticity
