#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "plasticity/backend_choice.h"
#include "plasticity/cache_request.h"
#include "plasticity/draft.h"
#include "plasticity/export.h"
#include "plasticity/sampler_options.h"

namespace plasticity {

class Progress;

struct InferOptions {
    std::filesystem::path model;
    std::string prompt;
    bool use_chat_template = false;  ///< the prompt is a user's message
    std::string system;              ///< a message before it; empty: none. Only with the template
    std::int32_t max_tokens = 128;   ///< -1: until the text or the context ends
    SamplerOptions sampler;
    std::vector<std::string> stop;
    std::int32_t top_probabilities = -1;  ///< likeliest tokens to report with each; -1: no probabilities
    CacheRequest cache;                   ///< context 0: what prompt and max_tokens take
    int threads = 0;
    BackendChoice backend;
    std::optional<std::filesystem::path> lora;  ///< GGUF adapter that was trained on the model or on its base
    DraftRequest draft;
};

/// A token with its text, which may be a part of a character.
struct InferredToken {
    std::int32_t id = 0;
    std::string text;
    float log_probability = 0;       ///< under the unmodified distribution, nats; 0 where none were asked for
    std::vector<InferredToken> top;  ///< the likeliest at this place, best first
};

struct InferResult {
    std::string text;
    std::vector<InferredToken> tokens;  ///< generated ones
    std::int32_t prompt_tokens = 0;
    std::int32_t context_length = 0;
    double load_seconds = 0;
    double prompt_seconds = 0;
    double generation_seconds = 0;
    DraftCounts draft;        ///< zeros without one
    std::string stop_reason;  ///< "end of text", "stop string", "length", "context"
    std::string backend;      ///< what it ran on: "CPU", or a device with its description

    PLASTICITY_API double prompt_tokens_per_second() const;
    PLASTICITY_API double generated_tokens_per_second() const;
};

/// INFER: completes a prompt. @param on_text  called with each piece of text as it is decided; may be empty
/// @throws Error (kMissing, kMalformed, kUsage when the prompt exceeds the context), Interrupted
PLASTICITY_API InferResult infer(const InferOptions& options, const std::function<void(std::string_view)>& on_text,
                                 Progress& progress);

}  // namespace plasticity
