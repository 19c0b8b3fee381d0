#include "serve/api_request.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>
#include <random>

#include "artifact/json_text.h"
#include "core/error.h"
#include "io/strict_json.h"

namespace plasticity {
namespace {

using Parsed = nlohmann::json;

/// Of a text when the request names none, as OpenAI has them.
constexpr std::int32_t kDefaultTextTokens = 16;
constexpr std::int32_t kMostTokens = 1 << 24;

/// The fields of a request. null stands for a field that is not there.
class Fields {
public:
    Fields(const Parsed& object, const ServeLimits& limits) : reader_(object, "request"), limits_(limits) {}

    bool has(std::string_view key) { return reader_.has(key) && !reader_.value(key).is_null(); }
    ObjectReader& reader() { return reader_; }
    const ServeLimits& limits() const { return limits_; }

    template <typename Number>
    void number(std::string_view key, Number& into, double lowest, double highest) {
        if (!has(key)) return;
        const double value = reader_.number(key);
        if (value < lowest || value > highest)
            reader_.fail(key, fmt::format("is {}; expected {} to {}", value, lowest, highest));
        into = static_cast<Number>(value);
    }
    void integer(std::string_view key, std::int32_t& into, std::int32_t lowest, std::int32_t highest) {
        if (has(key)) into = static_cast<std::int32_t>(reader_.integer(key, lowest, highest));
    }
    void boolean(std::string_view key, bool& into) {
        if (has(key)) into = reader_.boolean(key);
    }

    /// Fields that change nothing here, whatever they hold.
    void ignore(std::initializer_list<std::string_view> keys) {
        for (const std::string_view key : keys) has(key);
    }
    /// Fields that may be there as long as they ask for what is done anyway.
    void only(std::string_view key, const std::vector<Parsed>& harmless) {
        if (!has(key)) return;
        const Parsed& value = reader_.value(key);
        for (const Parsed& allowed : harmless)
            if (value == allowed) return;
        reader_.fail(key, "asks for what this server does not have; leave it out");
    }

private:
    ObjectReader reader_;
    const ServeLimits& limits_;
};

Parsed parse_object(std::string_view body, const ServeLimits& limits) {
    Parsed document = parse_strict_json(body, "request", limits.json_depth);
    if (!document.is_object()) throw Error(ErrorKind::kMalformed, "request: the body is no JSON object; expected one");
    return document;
}

std::vector<std::string> read_stop(Fields& fields) {
    if (!fields.has("stop")) return {};
    const Parsed& value = fields.reader().value("stop");
    std::vector<Parsed> list{value};
    if (value.is_array()) list = value.get<std::vector<Parsed>>();
    if (list.size() > fields.limits().stop_strings)
        fields.reader().fail(
            "stop", fmt::format("holds {} strings; expected {} at most", list.size(), fields.limits().stop_strings));
    std::vector<std::string> stop;
    for (const Parsed& entry : list) {
        if (!entry.is_string() || entry.get_ref<const std::string&>().size() > fields.limits().stop_bytes)
            fields.reader().fail(
                "stop", fmt::format("holds what is no string of {} bytes at most", fields.limits().stop_bytes));
        stop.push_back(entry.get<std::string>());
    }
    return stop;
}

std::uint32_t read_seed(Fields& fields) {
    if (fields.has("seed")) return static_cast<std::uint32_t>(fields.reader().integer("seed", INT64_MIN, INT64_MAX));
    return std::random_device()();
}

/// OpenAI's defaults: no cuts, temperature 1.
SamplerOptions read_sampler(Fields& fields) {
    SamplerOptions sampler{.temperature = 1.0f, .top_k = 0, .top_p = 1.0f, .min_p = 0.0f};
    fields.number("temperature", sampler.temperature, 0, 100);
    fields.number("top_p", sampler.top_p, 0, 1);
    fields.integer("top_k", sampler.top_k, 0, kMostTokens);
    fields.number("min_p", sampler.min_p, 0, 1);
    fields.number("repeat_penalty", sampler.repeat_penalty, 0.01, 100);
    fields.number("frequency_penalty", sampler.frequency_penalty, -100, 100);
    fields.number("presence_penalty", sampler.presence_penalty, -100, 100);
    fields.integer("repeat_last_n", sampler.repeat_last_n, -1, 1 << 20);
    sampler.seed = read_seed(fields);
    return sampler;
}

void read_stream(Fields& fields, ApiRequest& request) {
    fields.boolean("stream", request.stream);
    if (!fields.has("stream_options")) return;
    if (!request.stream) fields.reader().fail("stream_options", "is there without stream");
    ObjectReader options(fields.reader().value("stream_options"), "request: stream_options");
    if (options.has("include_usage")) request.include_usage = options.boolean("include_usage");
    if (options.has("include_obfuscation")) options.boolean("include_obfuscation");
    options.finish();
}

void read_common(Fields& fields, ApiRequest& request) {
    if (fields.has("model")) fields.reader().text("model");
    request.generate.sampler = read_sampler(fields);
    request.generate.stop = read_stop(fields);
    fields.integer("n", request.choices, 1, fields.limits().choices);
    read_stream(fields, request);
    fields.ignore({"user", "metadata", "safety_identifier", "prompt_cache_key"});
    fields.only("logit_bias", {Parsed::object()});
    fields.only("service_tier", {"auto", "default"});
    fields.only("store", {false});
}

std::vector<std::int32_t> read_ids(Fields& fields, const Parsed& list) {
    std::vector<std::int32_t> ids;
    for (const Parsed& id : list) {
        if (!id.is_number_integer() || id < 0 || id > kMostTokens)
            fields.reader().fail("prompt", "holds what is neither text nor a token id");
        ids.push_back(id.get<std::int32_t>());
    }
    return ids;
}

/// A string, a list of strings, token ids, or a list of lists of those.
std::vector<PromptSource> read_prompts(Fields& fields) {
    if (!fields.has("prompt")) fields.reader().fail("prompt", "is missing");
    const Parsed& value = fields.reader().value("prompt");
    if (value.is_string()) return {value.get<std::string>()};
    if (!value.is_array() || value.empty())
        fields.reader().fail("prompt", "is neither text nor a list of texts or token ids");
    if (value[0].is_number()) return {read_ids(fields, value)};
    if (value.size() > fields.limits().prompts)
        fields.reader().fail("prompt",
                             fmt::format("holds {} texts; expected {} at most", value.size(), fields.limits().prompts));
    std::vector<PromptSource> prompts;
    for (const Parsed& prompt : value) {
        if (prompt.is_string())
            prompts.emplace_back(prompt.get<std::string>());
        else if (prompt.is_array())
            prompts.emplace_back(read_ids(fields, prompt));
        else
            fields.reader().fail("prompt", "holds what is neither text nor a list of token ids");
    }
    return prompts;
}

/// Text, or parts of which each is text.
std::string read_content(const Parsed& content, ObjectReader& message) {
    if (content.is_string()) return content.get<std::string>();
    if (!content.is_array()) message.fail("content", "is neither text nor a list of parts");
    std::string text;
    for (const Parsed& part : content) {
        ObjectReader fields(part, message.where() + ": content");
        if (fields.text("type") != "text") fields.fail("type", "is not \"text\", the only kind of part there is");
        text += fields.text("text");
        fields.finish();
    }
    return text;
}

std::vector<ChatMessage> read_messages(Fields& fields) {
    if (!fields.has("messages")) fields.reader().fail("messages", "is missing");
    const Parsed& list = fields.reader().value("messages");
    const std::size_t most = fields.limits().messages;
    if (!list.is_array() || list.empty() || list.size() > most)
        fields.reader().fail("messages", fmt::format("is no list of 1 to {} messages", most));
    std::vector<ChatMessage> messages;
    for (const Parsed& entry : list) {
        ObjectReader message(entry, fmt::format("request: messages[{}]", messages.size()));
        std::string role = message.text("role");
        if (role == "developer") role = "system";
        if (role != "system" && role != "user" && role != "assistant")
            message.fail("role", "is none of system, developer, user and assistant");
        if (message.has("name")) message.value("name");
        for (const char* key : {"refusal", "tool_calls", "function_call", "audio", "annotations"})
            if (message.has(key) && !message.value(key).is_null() && !message.value(key).empty())
                message.fail(key, "asks for what this server does not have");
        messages.push_back({std::move(role), read_content(message.value("content"), message)});
        message.finish();
    }
    return messages;
}

}  // namespace

TextRequest parse_text_request(std::string_view body, const ServeLimits& limits) {
    const Parsed document = parse_object(body, limits);
    Fields fields(document, limits);
    TextRequest request;
    read_common(fields, request);
    request.prompts = read_prompts(fields);
    request.generate.max_tokens = kDefaultTextTokens;
    fields.integer("max_tokens", request.generate.max_tokens, 0, kMostTokens);
    fields.integer("logprobs", request.generate.top_probabilities, 0, limits.top_probabilities);
    fields.boolean("echo", request.echo);
    fields.only("best_of", {1, request.choices});
    fields.only("suffix", {""});
    fields.reader().finish();
    if (request.prompts.size() * static_cast<std::size_t>(request.choices) > limits.prompts)
        fields.reader().fail("n", fmt::format("times the prompts gives more than {} texts", limits.prompts));
    if (request.echo && request.stream) fields.reader().fail("echo", "cannot be had with stream");
    return request;
}

ChatRequest parse_chat_request(std::string_view body, const ServeLimits& limits) {
    const Parsed document = parse_object(body, limits);
    Fields fields(document, limits);
    ChatRequest request;
    read_common(fields, request);
    request.messages = read_messages(fields);
    request.generate.max_tokens = -1;
    fields.integer("max_tokens", request.generate.max_tokens, 1, kMostTokens);
    fields.integer("max_completion_tokens", request.generate.max_tokens, 1, kMostTokens);
    bool logprobs = false;
    fields.boolean("logprobs", logprobs);
    if (logprobs) request.generate.top_probabilities = 0;
    if (fields.has("top_logprobs") && !logprobs) fields.reader().fail("top_logprobs", "is there without logprobs");
    fields.integer("top_logprobs", request.generate.top_probabilities, 0, limits.top_probabilities);
    fields.only("response_format", {Parsed::object({{"type", "text"}})});
    fields.only("tools", {Parsed::array()});
    fields.only("tool_choice", {"none", "auto"});
    fields.only("parallel_tool_calls", {true, false});
    fields.only("functions", {Parsed::array()});
    fields.only("function_call", {"none", "auto"});
    fields.only("modalities", {Parsed::array({"text"})});
    fields.reader().finish();
    return request;
}

TokenizeRequest parse_tokenize_request(std::string_view body, const ServeLimits& limits) {
    const Parsed document = parse_object(body, limits);
    Fields fields(document, limits);
    TokenizeRequest request;
    request.content = fields.reader().text("content");
    fields.boolean("add_special", request.add_special);
    fields.reader().finish();
    return request;
}

}  // namespace plasticity
