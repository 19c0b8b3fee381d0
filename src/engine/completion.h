#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "engine/sampler.h"
#include "engine/text_stream.h"
#include "engine/token_probability.h"
#include "engine/tokenizer.h"

namespace plasticity {

struct GenerateOptions {
    std::int32_t max_tokens = 128;  ///< -1: until the text ends, or the context
    SamplerOptions sampler;
    std::vector<std::string> stop;
    std::int32_t top_probabilities = -1;  ///< likeliest tokens to report with each; -1: not even the token's own
};

enum class StopReason { kEndOfText, kStopString, kLength, kContext };
/// "end of text", "stop string", "length", "context"
std::string_view stop_reason_name(StopReason reason);

/// One text in the making: what comes of the logits that a decoder gives after each of its tokens. The decoder is the
/// caller's, so that one alone and many side by side go the same way.
class Completion {
public:
    /// @param tokenizer  outlives this
    /// @param on_text    called with text as soon as no stop string can still swallow it and its UTF-8 is complete
    /// @throws Error (kUsage for a grammar that libllama does not take)
    Completion(const Tokenizer& tokenizer, const GenerateOptions& options, TextStream::Sink on_text);

    /// Tokens before the text, which penalties count.
    void accept_prompt(std::span<const std::int32_t> prompt) { sampler_.accept_prompt(prompt); }

    /// Chooses the next token. @param logits  of what follows the text so far, [n_vocab]
    /// @returns the token to feed, or nothing when the text is complete
    std::optional<std::int32_t> advance(std::span<const float> logits);

    /// No more is wanted, or possible: hands on what was held back.
    void end(StopReason reason);

    bool ended() const { return reason_.has_value(); }
    StopReason reason() const { return reason_.value_or(StopReason::kLength); }
    const std::vector<ScoredToken>& tokens() const { return tokens_; }
    /// The token that ended the text, which is none of it; nothing where something else did.
    const std::optional<ScoredToken>& end_token() const { return end_token_; }
    const std::string& text() { return stream_.finish(); }

private:
    ScoredToken scored(std::span<const float> logits, std::int32_t token) const;
    bool is_full() const { return max_tokens_ >= 0 && tokens_.size() >= static_cast<std::size_t>(max_tokens_); }

    const Tokenizer& tokenizer_;
    Sampler sampler_;
    TextStream stream_;
    std::int32_t max_tokens_;
    std::int32_t n_top_;
    std::vector<ScoredToken> tokens_;
    std::optional<ScoredToken> end_token_;
    std::optional<StopReason> reason_;
};

}  // namespace plasticity
