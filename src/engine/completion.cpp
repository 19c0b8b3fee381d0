#include "engine/completion.h"

#include <utility>

namespace plasticity {

std::string_view stop_reason_name(StopReason reason) {
    switch (reason) {
        case StopReason::kEndOfText:
            return "end of text";
        case StopReason::kStopString:
            return "stop string";
        case StopReason::kContext:
            return "context";
        case StopReason::kLength:
            break;
    }
    return "length";
}

Completion::Completion(const Tokenizer& tokenizer, const GenerateOptions& options, TextStream::Sink on_text)
    : tokenizer_(tokenizer),
      sampler_(options.sampler, tokenizer),
      stream_(options.stop, std::move(on_text)),
      max_tokens_(options.max_tokens),
      n_top_(options.top_probabilities) {}

ScoredToken Completion::scored(std::span<const float> logits, std::int32_t token) const {
    if (n_top_ < 0) return {.token = token};
    return score_token(logits, token, static_cast<std::size_t>(n_top_));
}

std::optional<std::int32_t> Completion::advance(std::span<const float> logits) {
    if (is_full()) {
        end(StopReason::kLength);
        return std::nullopt;
    }
    const std::int32_t token = sampler_.choose(logits);
    if (tokenizer_.ends_generation(token)) {
        end_token_ = scored(logits, token);
        end(StopReason::kEndOfText);
        return std::nullopt;
    }
    tokens_.push_back(scored(logits, token));
    if (stream_.append(tokenizer_.piece(token))) {
        end(StopReason::kStopString);
        return std::nullopt;
    }
    if (is_full()) {
        end(StopReason::kLength);
        return std::nullopt;
    }
    return token;
}

void Completion::end(StopReason reason) {
    reason_ = reason;
    stream_.finish();
}

}  // namespace plasticity
