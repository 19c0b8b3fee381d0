#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "engine/decoder.h"
#include "engine/sampler.h"
#include "engine/tokenizer.h"

namespace plasticity {

struct GenerateOptions {
    std::int32_t max_tokens = 128;
    SamplerOptions sampler;
    std::vector<std::string> stop;
};

enum class StopReason { kEndOfText, kStopString, kLength };
std::string_view stop_reason_name(StopReason reason);

struct Generation {
    std::vector<std::int32_t> tokens;
    std::vector<float> log_probabilities;  ///< of each token under the unmodified distribution, nats
    std::string text;                      ///< without the stop string
    StopReason reason = StopReason::kLength;
    double prompt_seconds = 0;
    double generation_seconds = 0;
};

/// Continues a prompt from the decoder's current position.
/// @param on_text  called with text as soon as no stop string can still swallow it and its UTF-8 is complete
/// @throws Error (kUsage when the prompt is empty or does not fit the context), Interrupted
Generation generate(Decoder& decoder, const Tokenizer& tokenizer, std::span<const std::int32_t> prompt,
                    const GenerateOptions& options, const std::function<void(std::string_view)>& on_text);

}  // namespace plasticity
