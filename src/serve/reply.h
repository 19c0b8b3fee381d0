#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "engine/completion.h"

namespace plasticity {

/// How soon it is noticed that a client left while there is nothing to send.
inline constexpr std::chrono::milliseconds kReplyPatience{100};

/// How a text ended.
struct TextEnd {
    StopReason reason = StopReason::kLength;
    std::int32_t prompt_tokens = 0;
    std::int32_t reused_tokens = 0;     ///< of the prompt, known from an earlier request
    std::int32_t generated_tokens = 0;  ///< the one that ended the text among them
    std::optional<ScoredToken> end_token;
    double prompt_seconds = 0;  ///< from the slot's first step to the first choice
    double generation_seconds = 0;
};

/// Something that happened to one text of a request.
struct ReplyEvent {
    std::size_t text_index = 0;
    std::string text;                 ///< more of it
    std::vector<ScoredToken> prompt;  ///< the prompt's own tokens, where they were to be scored; the first has none
    std::vector<ScoredToken> tokens;  ///< more of its tokens
    std::optional<TextEnd> end;       ///< nothing more will come
    std::string failure;              ///< the same, by a defect or because the server ends
};

/// What the texts of one request become: written by the scheduler, read by the thread that serves the client.
class Reply {
public:
    explicit Reply(std::size_t n_texts) : open_(n_texts) {}

    void put(ReplyEvent event);

    /// The next event, in order for each text. @returns nothing when none came in time, or all texts have ended
    std::optional<ReplyEvent> take(std::chrono::milliseconds patience);
    /// Every text has ended, and every event was taken.
    bool finished() const;

    /// The client left: texts that wait are dropped, those in work stop with the next token.
    void cancel() { cancelled_.store(true, std::memory_order_relaxed); }
    bool cancelled() const { return cancelled_.load(std::memory_order_relaxed); }

private:
    mutable std::mutex mutex_;
    std::condition_variable arrived_;
    std::deque<ReplyEvent> events_;
    std::size_t open_;  ///< texts that have not ended
    std::atomic<bool> cancelled_{false};
};

}  // namespace plasticity
