#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/progress.h"
#include "engine/cache_request.h"
#include "engine/generate.h"
#include "model/model.h"

namespace plasticity {

struct ChatOptions {
    std::filesystem::path model;
    std::string system;            ///< the first message; empty: none
    std::int32_t max_tokens = -1;  ///< of one answer; -1: until it ends, or the context
    SamplerOptions sampler;
    std::vector<std::string> stop;
    CacheRequest cache;  ///< context 0: 4096, or what the model was made for where that is less
    int threads = 0;
    BackendChoice backend;
    std::optional<std::filesystem::path> lora;  ///< GGUF adapter that was trained on the model or on its base
    DraftRequest draft;
};

struct ChatAnswer {
    std::string text;
    bool stopped = false;  ///< by Ctrl-C; the text goes as far as it had come
    StopReason reason = StopReason::kLength;
    std::int32_t prompt_tokens = 0;  ///< the whole conversation's
    std::int32_t reused_tokens = 0;  ///< of these, tokens that the decoder still knew
    std::int32_t generated_tokens = 0;
    double prompt_seconds = 0;
    double generation_seconds = 0;
    DraftCounts draft;
};

/// A conversation with one model, in its own chat template. What the decoder has seen before is not fed again: of every
/// turn only what differs from the last one's tokens.
class ChatSession {
public:
    /// @throws Error (kMissing, kMalformed, kIo; kUsage when the model has no chat template that libllama knows)
    ChatSession(const ChatOptions& options, Progress& progress);

    /// Answers a message; both become history, also where Ctrl-C (core/interrupt.h) stopped the answer.
    /// @throws Error (kUsage when the conversation does not fit the context: history is then what it was before),
    ///         Interrupted by SIGTERM
    ChatAnswer answer(std::string_view message, const TextStream::Sink& on_text);

    /// Forgets all but the system message.
    void clear();

    const std::vector<ChatMessage>& history() const { return history_; }
    std::int32_t context_length() const { return decoder_->context_length(); }

private:
    std::vector<std::int32_t> encode_history() const;
    ChatAnswer continue_from(std::size_t n_known, const TextStream::Sink& on_text);

    ChatOptions options_;
    std::unique_ptr<Model> model_;
    Tokenizer tokenizer_;
    std::unique_ptr<Decoder> decoder_;
    std::unique_ptr<Draft> draft_;  ///< nullptr: none
    std::vector<ChatMessage> history_;
    std::vector<std::int32_t> prompt_;  ///< of the turn at hand
    std::vector<std::int32_t> fed_;     ///< tokens that the decoder holds, as far as they are known
};

}  // namespace plasticity
