#include "serve/api_response.h"

#include <fmt/format.h>

#include <chrono>
#include <nlohmann/json.hpp>
#include <utility>

#include "artifact/json_text.h"
#include "core/units.h"

namespace plasticity {
namespace {

using Json = nlohmann::ordered_json;

constexpr std::size_t kMaxMessageBytes = 1000;

const char* finish_reason(StopReason reason) {
    return reason == StopReason::kEndOfText || reason == StopReason::kStopString ? "stop" : "length";
}

Json finish_json(const std::optional<TextEnd>& end) {
    return end ? Json(finish_reason(end->reason)) : Json(nullptr);
}

/// A token's text where that is whole characters, else its bytes as OpenAI spells them: "bytes:\xe2\x82".
std::string token_text(const Tokenizer& tokenizer, std::int32_t token) {
    std::string text = tokenizer.piece(token, true);
    try {
        static_cast<void>(Json(text).dump());
        return text;
    } catch (const Json::type_error&) {  // no UTF-8
        std::string spelt = "bytes:";
        for (const char byte : text) spelt += fmt::format("\\x{:02x}", static_cast<unsigned char>(byte));
        return spelt;
    }
}

std::size_t characters(std::string_view text) {
    std::size_t n = 0;
    for (const char byte : text) n += (static_cast<unsigned char>(byte) & 0xC0) != 0x80 ? 1 : 0;
    return n;
}

/// The lists that a completion's "logprobs" is made of.
class CompletionProbabilities {
public:
    explicit CompletionProbabilities(const Tokenizer& tokenizer) : tokenizer_(tokenizer) {}

    void add_unscored(std::int32_t token) {
        add_token(token);
        log_probabilities_.push_back(nullptr);
        top_.push_back(nullptr);
    }
    void add(const ScoredToken& token) {
        add_token(token.token);
        log_probabilities_.push_back(token.log_probability);
        Json top = Json::object();
        for (const TokenProbability& other : token.top)
            top[token_text(tokenizer_, other.token)] = other.log_probability;
        top_.push_back(std::move(top));
    }
    Json json() && {
        return {{"tokens", std::move(tokens_)},
                {"token_logprobs", std::move(log_probabilities_)},
                {"top_logprobs", std::move(top_)},
                {"text_offset", std::move(offsets_)}};
    }

private:
    void add_token(std::int32_t token) {
        tokens_.push_back(token_text(tokenizer_, token));
        offsets_.push_back(offset_);
        offset_ += characters(tokenizer_.piece(token));
    }

    const Tokenizer& tokenizer_;
    Json tokens_ = Json::array(), log_probabilities_ = Json::array(), top_ = Json::array(), offsets_ = Json::array();
    std::size_t offset_ = 0;
};

Json completion_probabilities(const Tokenizer& tokenizer, const AnswerText& text) {
    CompletionProbabilities lists(tokenizer);
    if (!text.prompt_tokens.empty()) lists.add_unscored(text.prompt_tokens.front());
    for (const ScoredToken& token : text.prompt_scores) lists.add(token);
    for (const ScoredToken& token : text.tokens) lists.add(token);
    if (text.end && text.end->end_token) lists.add(*text.end->end_token);
    return std::move(lists).json();
}

Json chat_token(const Tokenizer& tokenizer, std::int32_t token, float log_probability) {
    Json bytes = Json::array();
    for (const char byte : tokenizer.piece(token, true)) bytes.push_back(static_cast<unsigned char>(byte));
    return {{"token", token_text(tokenizer, token)}, {"logprob", log_probability}, {"bytes", std::move(bytes)}};
}

Json chat_probabilities(const Tokenizer& tokenizer, const AnswerText& text) {
    Json list = Json::array();
    for (const ScoredToken& token : text.tokens) {
        Json entry = chat_token(tokenizer, token.token, token.log_probability);
        entry["top_logprobs"] = Json::array();
        for (const TokenProbability& other : token.top)
            entry["top_logprobs"].push_back(chat_token(tokenizer, other.token, other.log_probability));
        list.push_back(std::move(entry));
    }
    return {{"content", std::move(list)}};
}

Json head_json(const AnswerHead& head, const char* object) {
    return {{"id", head.id}, {"object", object}, {"created", head.created}, {"model", head.model}};
}

/// With llama.cpp's timings beside OpenAI's counts.
void add_usage(Json& answer, const Usage& usage) {
    const std::int32_t fed = usage.prompt_tokens - usage.cached_tokens;
    answer["usage"] = {{"prompt_tokens", usage.prompt_tokens},
                       {"completion_tokens", usage.completion_tokens},
                       {"total_tokens", usage.prompt_tokens + usage.completion_tokens},
                       {"prompt_tokens_details", {{"cached_tokens", usage.cached_tokens}}}};
    answer["timings"] = {{"prompt_n", fed},
                         {"prompt_ms", 1000 * usage.prompt_seconds},
                         {"prompt_per_second", per_second(fed, usage.prompt_seconds)},
                         {"predicted_n", usage.completion_tokens},
                         {"predicted_ms", 1000 * usage.completion_seconds},
                         {"predicted_per_second", per_second(usage.completion_tokens, usage.completion_seconds)}};
}

}  // namespace

std::int64_t unix_seconds() {
    return std::chrono::duration_cast<std::chrono::seconds>(std::chrono::system_clock::now().time_since_epoch())
        .count();
}

void Usage::add(const TextEnd& end, bool counts_prompt) {
    if (counts_prompt) prompt_tokens += end.prompt_tokens;
    if (counts_prompt) cached_tokens += end.reused_tokens;
    completion_tokens += end.generated_tokens;
    if (counts_prompt) prompt_seconds += end.prompt_seconds;
    completion_seconds += end.generation_seconds;
}

std::string AnswerWriter::completion(const std::vector<AnswerText>& texts, const Usage& usage) const {
    Json answer = head_json(head_, "text_completion");
    answer["choices"] = Json::array();
    for (const AnswerText& text : texts)
        answer["choices"].push_back(
            {{"index", text.index},
             {"text", text.prompt_text + text.text},
             {"logprobs", with_probabilities_ ? completion_probabilities(tokenizer_, text) : Json(nullptr)},
             {"finish_reason", finish_json(text.end)}});
    add_usage(answer, usage);
    return json_line(answer);
}

std::string AnswerWriter::chat(const std::vector<AnswerText>& texts, const Usage& usage) const {
    Json answer = head_json(head_, "chat.completion");
    answer["choices"] = Json::array();
    for (const AnswerText& text : texts)
        answer["choices"].push_back(
            {{"index", text.index},
             {"message", {{"role", "assistant"}, {"content", text.text}, {"refusal", nullptr}}},
             {"logprobs", with_probabilities_ ? chat_probabilities(tokenizer_, text) : Json(nullptr)},
             {"finish_reason", finish_json(text.end)}});
    add_usage(answer, usage);
    return json_line(answer);
}

std::string AnswerWriter::completion_chunk(const AnswerText& piece) const {
    Json answer = head_json(head_, "text_completion");
    answer["choices"] = {
        {{"index", piece.index},
         {"text", piece.text},
         {"logprobs", with_probabilities_ ? completion_probabilities(tokenizer_, piece) : Json(nullptr)},
         {"finish_reason", finish_json(piece.end)}}};
    return json_line(answer);
}

std::string AnswerWriter::chat_chunk(const AnswerText& piece, bool announces) const {
    Json delta = Json::object();
    if (announces) delta["role"] = "assistant";
    if (announces || !piece.text.empty()) delta["content"] = piece.text;
    Json answer = head_json(head_, "chat.completion.chunk");
    answer["choices"] = {{{"index", piece.index},
                          {"delta", std::move(delta)},
                          {"logprobs", with_probabilities_ ? chat_probabilities(tokenizer_, piece) : Json(nullptr)},
                          {"finish_reason", finish_json(piece.end)}}};
    return json_line(answer);
}

std::string AnswerWriter::usage_chunk(const char* object, const Usage& usage) const {
    Json answer = head_json(head_, object);
    answer["choices"] = Json::array();
    add_usage(answer, usage);
    return json_line(answer);
}

std::string error_json(int status, std::string_view message) {
    const char* type = "invalid_request_error";
    if (status == 401 || status == 403) type = "authentication_error";
    if (status == 404) type = "not_found_error";
    if (status == 429) type = "rate_limit_error";
    if (status >= 500) type = "server_error";
    return json_line({{"error",
                       {{"message", std::string(message.substr(0, kMaxMessageBytes))},
                        {"type", type},
                        {"param", nullptr},
                        {"code", status}}}});
}

}  // namespace plasticity
