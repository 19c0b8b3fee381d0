#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "engine/tokenizer.h"
#include "serve/reply.h"

namespace plasticity {

/// Seconds since 1970.
std::int64_t unix_seconds();

/// What every answer to a request begins with.
struct AnswerHead {
    std::string id;  ///< "cmpl-…" or "chatcmpl-…"
    std::string model;
    std::int64_t created = 0;  ///< unix_seconds()
};

/// One text of an answer, or the next piece of one.
struct AnswerText {
    std::size_t index = 0;
    std::string prompt_text;                  ///< echoed; empty: not
    std::vector<std::int32_t> prompt_tokens;  ///< echoed with probabilities; empty: not
    std::vector<ScoredToken> prompt_scores;   ///< of prompt_tokens[1…]
    std::string text;
    std::vector<ScoredToken> tokens;
    std::optional<TextEnd> end;  ///< in a piece: only in the last
};

struct Usage {
    std::int32_t prompt_tokens = 0;
    std::int32_t cached_tokens = 0;
    std::int32_t completion_tokens = 0;
    double prompt_seconds = 0;
    double completion_seconds = 0;

    /// @param counts_prompt  false for the second text of a prompt and those after it
    void add(const TextEnd& end, bool counts_prompt);
};

/// Writes OpenAI's answers as JSON text. Probabilities are reported where asked for.
class AnswerWriter {
public:
    AnswerWriter(const Tokenizer& tokenizer, AnswerHead head, bool with_probabilities)
        : tokenizer_(tokenizer), head_(std::move(head)), with_probabilities_(with_probabilities) {}

    /// Objects "text_completion", with the token that ended a text among its probabilities, and "chat.completion".
    std::string completion(const std::vector<AnswerText>& texts, const Usage& usage) const;
    std::string chat(const std::vector<AnswerText>& texts, const Usage& usage) const;

    /// The same piece by piece. @param announces  a chat's first piece of a text says whose it is
    std::string completion_chunk(const AnswerText& piece) const;
    std::string chat_chunk(const AnswerText& piece, bool announces) const;
    /// What follows the last piece where usage is asked for: no texts.
    std::string usage_chunk(const char* object, const Usage& usage) const;

private:
    const Tokenizer& tokenizer_;
    AnswerHead head_;
    bool with_probabilities_;
};

/// {"error": {"message", "type", "param", "code"}} with what OpenAI calls such an error.
std::string error_json(int status, std::string_view message);

}  // namespace plasticity
