#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "core/clock.h"
#include "engine/completion.h"
#include "engine/decoder.h"
#include "serve/metrics.h"
#include "serve/reply.h"

namespace plasticity {

/// A text to be written.
struct TextJob {
    std::vector<std::int32_t> prompt;  ///< at least one token, and less than the context
    GenerateOptions generate;
    bool score_prompt = false;  ///< report the probabilities of the prompt's own tokens
};

/// The same on its way.
struct QueuedJob {
    TextJob job;
    std::shared_ptr<Reply> reply;
    std::size_t text_index = 0;
    Clock::time_point arrived;
};

/// One of the decoder's sequences and the text that it works on: first its prompt goes in, in chunks, then token by
/// token what was chosen. Between texts it remembers its tokens, so that a prompt that begins like the last one need
/// not be fed from the start.
class Slot {
public:
    Slot(std::int32_t sequence, Decoder& decoder, const Tokenizer& tokenizer, Metrics& metrics)
        : sequence_(sequence), decoder_(decoder), tokenizer_(tokenizer), metrics_(metrics) {}

    bool busy() const { return queued_.has_value(); }
    bool generating() const { return busy() && next_.has_value(); }
    bool cancelled() const { return busy() && queued_->reply->cancelled(); }
    std::size_t cached_tokens() const { return fed_.size(); }
    /// Tokens that this prompt begins with and the cache holds.
    std::size_t known_tokens(std::span<const std::int32_t> prompt) const;

    /// Takes a job. @param reuse  what the cache holds may stand in for feeding it anew
    void begin(QueuedJob queued, bool reuse);

    /// What to feed next. @param prompt_budget  tokens of a prompt at most
    /// @returns tokens that stay valid until took() is called; none where the budget leaves none
    SequenceTokens next_tokens(std::size_t prompt_budget) const;

    /// The decoder has these tokens, and this is what it says of one that logits were wanted for.
    void took_logits(const SequenceTokens& item, std::size_t token, std::span<const float> logits);
    /// The decoder has these tokens, and all that was wanted of them was said.
    void took(const SequenceTokens& item);

    /// Ends the job: with a message, or without one where nobody waits for it.
    void fail(const std::string& message);
    void drop();
    /// Forgets the cache as well, whose state nobody knows.
    void reset();

private:
    void advance(std::span<const float> logits);
    void report(std::optional<TextEnd> end);
    TextEnd text_end() const;

    std::int32_t sequence_;
    Decoder& decoder_;
    const Tokenizer& tokenizer_;
    Metrics& metrics_;
    std::vector<std::int32_t> fed_;  ///< what the cache holds

    std::optional<QueuedJob> queued_;
    std::optional<Completion> completion_;
    std::size_t reused_ = 0;              ///< tokens of the prompt
    std::optional<std::int32_t> next_;    ///< chosen and not fed; nothing while the prompt is fed
    std::optional<std::int32_t> chosen_;  ///< by the step at hand
    std::string text_;                    ///< not reported yet
    std::vector<ScoredToken> prompt_scores_;
    std::size_t reported_tokens_ = 0;
    Clock::time_point begun_, first_choice_;
};

}  // namespace plasticity
