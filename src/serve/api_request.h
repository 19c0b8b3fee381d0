#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "engine/completion.h"
#include "engine/tokenizer.h"
#include "serve/limits.h"

namespace plasticity {

/// What both kinds of request say about the texts that are to be written.
struct ApiRequest {
    GenerateOptions generate;  ///< top_probabilities -1: none are to be reported
    std::int32_t choices = 1;  ///< n: texts for each prompt
    bool stream = false;
    bool include_usage = false;  ///< stream_options.include_usage
};

/// A prompt as text or as token ids.
using PromptSource = std::variant<std::string, std::vector<std::int32_t>>;

/// POST /v1/completions
struct TextRequest : ApiRequest {
    std::vector<PromptSource> prompts;
    bool echo = false;  ///< the answer begins with the prompt, and reports its probabilities, too
};

/// POST /v1/chat/completions
struct ChatRequest : ApiRequest {
    std::vector<ChatMessage> messages;
};

/// POST /tokenize
struct TokenizeRequest {
    std::string content;
    bool add_special = false;
};

/// OpenAI's fields, and of llama.cpp's top_k, min_p and repeat_penalty. Fields that ask for what is not there (tools,
/// other response formats, logit_bias, …) are refused unless they ask for nothing; so are fields that nobody knows.
/// @param body  JSON from a stranger
/// @throws Error (kMalformed) naming the field
TextRequest parse_text_request(std::string_view body, const ServeLimits& limits);
ChatRequest parse_chat_request(std::string_view body, const ServeLimits& limits);
TokenizeRequest parse_tokenize_request(std::string_view body, const ServeLimits& limits);

}  // namespace plasticity
