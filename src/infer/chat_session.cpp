#include "infer/chat_session.h"

#include <fmt/format.h>

#include <algorithm>
#include <csignal>

#include "artifact/kept_adapter.h"
#include "core/error.h"
#include "core/interrupt.h"
#include "engine/token_prefix.h"

namespace plasticity {
namespace {

std::vector<ChatMessage> opening(const std::string& system) {
    if (system.empty()) return {};
    return {{"system", system}};
}

}  // namespace

ChatSession::ChatSession(const ChatOptions& options, Progress& progress)
    : options_(options),
      model_(open_model(options.model)),
      tokenizer_(model_->tokenizer()),
      history_(opening(options.system)) {
    const ChatMessage hello{"user", "hello"};
    tokenizer_.apply_chat_template(std::span(&hello, 1));  // refuses what has no template before the weights are read
    const RunOn on{options.backend, options.threads};
    DecoderOptions decoder =
        decoder_options(model_->architecture(), cache_beside(options.draft, options.cache), kUsualContext, on);
    decoder.adapter = load_kept_adapter(*model_, options.lora);
    decoder_ = std::make_unique<Decoder>(*model_, decoder, progress);
    draft_ = Draft::open(options.draft, tokenizer_, decoder_->context_length(), on, progress);
}

void ChatSession::clear() {
    history_ = opening(options_.system);
    decoder_->clear();
    fed_.clear();
}

std::vector<std::int32_t> ChatSession::encode_history() const {
    return tokenizer_.encode(tokenizer_.apply_chat_template(history_), true, true);
}

ChatAnswer ChatSession::answer(std::string_view message, const TextStream::Sink& on_text) {
    history_.push_back({"user", std::string(message)});
    prompt_ = encode_history();
    if (prompt_.size() >= static_cast<std::size_t>(decoder_->context_length())) {
        history_.pop_back();
        throw Error(
            ErrorKind::kUsage,
            fmt::format("chat: the conversation with this message is {} tokens; expected fewer than the context "
                        "of {}; start anew with /clear, or ask for a longer context with -c",
                        prompt_.size(), decoder_->context_length()));
    }
    // The last token is fed anew even where it is known: its logits are what the answer begins with.
    const std::size_t n_known = std::min(common_prefix(fed_, prompt_), prompt_.size() - 1);
    ChatAnswer answer = continue_from(n_known, on_text);
    history_.push_back({"assistant", answer.text});
    return answer;
}

ChatAnswer ChatSession::continue_from(std::size_t n_known, const TextStream::Sink& on_text) {
    ChatAnswer answer{.prompt_tokens = static_cast<std::int32_t>(prompt_.size()),
                      .reused_tokens = static_cast<std::int32_t>(n_known)};
    decoder_->rewind(static_cast<std::int32_t>(n_known));
    const std::span<const std::int32_t> prompt(prompt_);
    try {
        const Generation generation =
            generate(TokenFeed(*decoder_, draft_.get()), tokenizer_,
                     {.tokens = prompt.subspan(n_known), .fed_already = prompt.first(n_known)},
                     {.max_tokens = options_.max_tokens, .sampler = options_.sampler, .stop = options_.stop},
                     [&](std::string_view text) {
                         answer.text += text;
                         if (on_text) on_text(text);
                     });
        answer.reason = generation.reason;
        answer.generated_tokens = static_cast<std::int32_t>(generation.tokens.size());
        answer.prompt_seconds = generation.prompt_seconds;
        answer.generation_seconds = generation.generation_seconds;
        answer.draft = generation.draft;
        fed_ = prompt_;
        for (const ScoredToken& token : generation.tokens) fed_.push_back(token.token);
    } catch (const Interrupted& interrupted) {
        if (interrupted.signal() != SIGINT || !forget_sigint()) throw;
        answer.stopped = true;
        fed_ = prompt_;
    }
    // The last token of an answer is not fed, and a prompt that was stopped has been fed in part.
    fed_.resize(std::min(fed_.size(), static_cast<std::size_t>(decoder_->position())));
    decoder_->rewind(static_cast<std::int32_t>(fed_.size()));
    return answer;
}

}  // namespace plasticity
