#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "engine/completion.h"
#include "engine/decoder.h"
#include "engine/token_feed.h"

namespace plasticity {

struct Generation {
    std::vector<ScoredToken> tokens;
    std::string text;  ///< without the stop string
    StopReason reason = StopReason::kLength;
    double prompt_seconds = 0;
    double generation_seconds = 0;
    DraftCounts draft;
};

struct Prompt {
    std::span<const std::int32_t> tokens;       ///< to be fed now
    std::span<const std::int32_t> fed_already;  ///< what the decoder holds
};

/// Continues a prompt from the decoder's current position; afterwards the decoder holds the prompt and all tokens of
/// the text but the last.
/// @param on_text  as Completion's
/// @throws Error (kUsage when the prompt is empty or does not fit the context), Interrupted
Generation generate(TokenFeed feed, const Tokenizer& tokenizer, const Prompt& prompt, const GenerateOptions& options,
                    const TextStream::Sink& on_text);
/// Without a draft.
inline Generation generate(Decoder& decoder, const Tokenizer& tokenizer, const Prompt& prompt,
                           const GenerateOptions& options, const TextStream::Sink& on_text) {
    return generate(TokenFeed(decoder), tokenizer, prompt, options, on_text);
}

}  // namespace plasticity
