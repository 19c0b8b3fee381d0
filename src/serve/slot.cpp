#include "serve/slot.h"

#include <algorithm>
#include <utility>

#include "engine/token_prefix.h"

namespace plasticity {
std::size_t Slot::known_tokens(std::span<const std::int32_t> prompt) const {
    return common_prefix(fed_, prompt);
}

void Slot::begin(QueuedJob queued, bool reuse) {
    queued_ = std::move(queued);
    const TextJob& job = queued_->job;
    // The last token is fed anew even where it is known: its logits are what the text begins with.
    reused_ = reuse && !job.score_prompt ? std::min(known_tokens(job.prompt), job.prompt.size() - 1) : 0;
    fed_.resize(reused_);
    decoder_.rewind(static_cast<std::int32_t>(reused_), sequence_);
    next_.reset();
    text_.clear();
    prompt_scores_.clear();
    reported_tokens_ = 0;
    begun_ = first_choice_ = Clock::now();
    completion_.emplace(tokenizer_, job.generate, [this](std::string_view text) { text_ += text; });
    completion_->accept_prompt(job.prompt);
}

SequenceTokens Slot::next_tokens(std::size_t prompt_budget) const {
    if (next_) return {.sequence = sequence_, .tokens = std::span(&*next_, 1)};
    const TextJob& job = queued_->job;
    const std::size_t n = std::min(job.prompt.size() - fed_.size(), prompt_budget);
    const bool completes = fed_.size() + n == job.prompt.size();
    return {.sequence = sequence_,
            .tokens = std::span(job.prompt).subspan(fed_.size(), n),
            .first_wanted = job.score_prompt ? 0
                            : completes      ? n - 1
                                             : n};
}

void Slot::took_logits(const SequenceTokens& item, std::size_t token, std::span<const float> logits) {
    const TextJob& job = queued_->job;
    if (next_) return advance(logits);
    const std::size_t place = fed_.size() + token;  // of a token of the prompt
    if (place + 1 == job.prompt.size()) return advance(logits);
    if (job.score_prompt && token < item.tokens.size())
        prompt_scores_.push_back(score_token(logits, job.prompt[place + 1],
                                             static_cast<std::size_t>(std::max(job.generate.top_probabilities, 0))));
}

void Slot::advance(std::span<const float> logits) {
    if (!next_) {
        first_choice_ = Clock::now();
        metrics_.count_prompt(static_cast<std::int32_t>(queued_->job.prompt.size()), static_cast<std::int32_t>(reused_),
                              seconds_between(queued_->arrived, first_choice_));
    }
    chosen_ = completion_->advance(logits);
}

void Slot::took(const SequenceTokens& item) {
    fed_.insert(fed_.end(), item.tokens.begin(), item.tokens.end());
    const bool was_prompt = !next_;
    if (was_prompt && fed_.size() < queued_->job.prompt.size()) return;
    next_ = std::exchange(chosen_, std::nullopt);
    if (next_ && decoder_.position(sequence_) == decoder_.context_length()) completion_->end(StopReason::kContext);
    if (!completion_->ended()) return report(std::nullopt);
    const TextEnd end = text_end();
    metrics_.count_text(end.generated_tokens, seconds_between(queued_->arrived, Clock::now()));
    report(end);
    drop();
}

TextEnd Slot::text_end() const {
    const auto& end_token = completion_->end_token();
    return {.reason = completion_->reason(),
            .prompt_tokens = static_cast<std::int32_t>(queued_->job.prompt.size()),
            .reused_tokens = static_cast<std::int32_t>(reused_),
            .generated_tokens = static_cast<std::int32_t>(completion_->tokens().size()) + (end_token ? 1 : 0),
            .end_token = end_token,
            .prompt_seconds = seconds_between(begun_, first_choice_),
            .generation_seconds = seconds_between(first_choice_, Clock::now())};
}

void Slot::report(std::optional<TextEnd> end) {
    ReplyEvent event{.text_index = queued_->text_index,
                     .text = std::exchange(text_, {}),
                     .prompt = std::exchange(prompt_scores_, {}),
                     .end = std::move(end)};
    const std::vector<ScoredToken>& tokens = completion_->tokens();
    event.tokens.assign(tokens.begin() + static_cast<std::ptrdiff_t>(reported_tokens_), tokens.end());
    reported_tokens_ = tokens.size();
    queued_->reply->put(std::move(event));
}

void Slot::fail(const std::string& message) {
    queued_->reply->put({.text_index = queued_->text_index, .failure = message});
    drop();
}

void Slot::drop() {
    queued_.reset();
    completion_.reset();
    next_.reset();
}

void Slot::reset() {
    decoder_.rewind(0, sequence_);
    fed_.clear();
}

}  // namespace plasticity
