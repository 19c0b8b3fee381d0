#include "serve/api_request.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "core/error.h"

namespace plasticity {
namespace {

const ServeLimits kLimits;

TextRequest text(const std::string& body) {
    return parse_text_request(body, kLimits);
}
ChatRequest chat(const std::string& body) {
    return parse_chat_request(body, kLimits);
}

template <typename Parse>
void expect_refused(Parse parse, const std::string& body, std::string_view field) {
    try {
        parse(body);
        ADD_FAILURE() << "accepted: " << body.substr(0, 200);
    } catch (const Error& error) {
        EXPECT_EQ(error.kind(), ErrorKind::kMalformed) << body.substr(0, 200);
        EXPECT_NE(std::string_view(error.what()).find(field), std::string_view::npos) << error.what();
    }
}

TEST(TextRequestParsing, TakesPromptsInEveryForm) {
    using Ids = std::vector<std::int32_t>;
    EXPECT_EQ(text(R"({"prompt":"a"})").prompts, (std::vector<PromptSource>{std::string("a")}));
    EXPECT_EQ(text(R"({"prompt":["a","b"]})").prompts, (std::vector<PromptSource>{std::string("a"), std::string("b")}));
    EXPECT_EQ(text(R"({"prompt":[1,2]})").prompts, (std::vector<PromptSource>{Ids{1, 2}}));
    EXPECT_EQ(text(R"({"prompt":[[1,2],[3]]})").prompts, (std::vector<PromptSource>{Ids{1, 2}, Ids{3}}));
}

/// What lm-eval's local-completions sends to score a text.
TEST(TextRequestParsing, TakesARequestThatScoresAText) {
    const TextRequest request = text(R"({"prompt":[[1,2,3]],"model":"m","max_tokens":1,"logprobs":1,"echo":true,)"
                                     R"("temperature":0,"seed":1234})");
    EXPECT_TRUE(request.echo);
    EXPECT_EQ(request.generate.max_tokens, 1);
    EXPECT_EQ(request.generate.top_probabilities, 1);
    EXPECT_EQ(request.generate.sampler.temperature, 0.0f);
    EXPECT_EQ(request.generate.sampler.seed, 1234u);
}

TEST(TextRequestParsing, HasOpenAisDefaults) {
    const TextRequest request = text(R"({"prompt":"a","stop":null,"logprobs":null,"n":null,"user":"u"})");
    EXPECT_EQ(request.generate.max_tokens, 16);
    EXPECT_EQ(request.generate.top_probabilities, -1);
    EXPECT_EQ(request.generate.sampler.temperature, 1.0f);
    EXPECT_EQ(request.generate.sampler.top_k, 0);
    EXPECT_EQ(request.generate.sampler.top_p, 1.0f);
    EXPECT_EQ(request.choices, 1);
    EXPECT_FALSE(request.stream || request.echo || request.include_usage);
}

TEST(TextRequestParsing, TakesStopAsOneStringOrSeveral) {
    EXPECT_EQ(text(R"({"prompt":"a","stop":"x"})").generate.stop, std::vector<std::string>{"x"});
    EXPECT_EQ(text(R"({"prompt":"a","stop":["x","y"]})").generate.stop, (std::vector<std::string>{"x", "y"}));
}

TEST(TextRequestParsing, RefusesWhatItDoesNotUnderstand) {
    for (const auto& [body, field] : std::vector<std::pair<std::string, std::string>>{
             {R"({})", "prompt"},
             {R"({"prompt":5})", "prompt"},
             {R"({"prompt":[]})", "prompt"},
             {R"({"prompt":[1,"a"]})", "prompt"},
             {R"({"prompt":[1.5]})", "prompt"},
             {R"({"prompt":[-1]})", "prompt"},
             {R"({"prompt":[99999999999]})", "prompt"},
             {R"({"prompt":[{"a":1}]})", "prompt"},
             {R"({"prompt":"a","max_tokens":-1})", "max_tokens"},
             {R"({"prompt":"a","max_tokens":1e9})", "max_tokens"},
             {R"({"prompt":"a","temperature":"hot"})", "temperature"},
             {R"({"prompt":"a","temperature":-1})", "temperature"},
             {R"({"prompt":"a","top_p":1.1})", "top_p"},
             {R"({"prompt":"a","n":0})", "\"n\""},
             {R"({"prompt":"a","n":1000})", "\"n\""},
             {R"({"prompt":"a","logprobs":21})", "logprobs"},
             {R"({"prompt":"a","stop":[1]})", "stop"},
             {R"({"prompt":"a","stream":"yes"})", "stream"},
             {R"({"prompt":"a","stream_options":{"include_usage":true}})", "stream_options"},
             {R"({"prompt":"a","stream":true,"stream_options":{"colour":1}})", "colour"},
             {R"({"prompt":"a","stream":true,"echo":true})", "echo"},
             {R"({"prompt":"a","best_of":4})", "best_of"},
             {R"({"prompt":"a","logit_bias":{"5":1}})", "logit_bias"},
             {R"({"prompt":"a","paint":1})", "paint"},
             {R"({"prompt":"a","prompt":"b"})", "prompt"},
             {R"([1])", "no JSON object"},
             {R"({"prompt":"a")", "request"},
             {"", "request"},
             {"{\"prompt\":\"\xff\"}", "request"},
         })
        expect_refused(text, body, field);
}

TEST(TextRequestParsing, BoundsWhatAStrangerCanMakeGrow) {
    std::string many = R"({"prompt":[)", stops = R"({"prompt":"a","stop":[)";
    for (int i = 0; i < 200; ++i) many += "\"a\",", stops += "\"x\",";
    expect_refused(text, many + "\"a\"]}", "128 at most");
    expect_refused(text, stops + "\"x\"]}", "16 at most");
    expect_refused(text, R"({"prompt":["a","b","c","d","e","f","g","h","i"],"n":16})", "128 texts");
    expect_refused(text, R"({"prompt":"a","stop":")" + std::string(1000, 'x') + R"("})", "256 bytes");
    expect_refused(text, R"({"prompt":)" + std::string(100'000, '['), "request");
    expect_refused(chat, R"({"messages":)" + std::string(100'000, '['), "request");
}

TEST(ChatRequestParsing, TakesMessagesAsTextAndAsParts) {
    const ChatRequest request =
        chat(R"({"model":"m","messages":[{"role":"developer","content":"brief"},)"
             R"({"role":"user","content":[{"type":"text","text":"a"},{"type":"text","text":"b"}],"name":"me"},)"
             R"({"role":"assistant","content":"c","refusal":null}],"logprobs":true,"top_logprobs":2,)"
             R"("max_completion_tokens":7,"stream":true,"stream_options":{"include_usage":true},)"
             R"("response_format":{"type":"text"},"tools":[]})");
    ASSERT_EQ(request.messages.size(), 3u);
    EXPECT_EQ(request.messages[0].role, "system");
    EXPECT_EQ(request.messages[1].content, "ab");
    EXPECT_EQ(request.messages[2].content, "c");
    EXPECT_EQ(request.generate.top_probabilities, 2);
    EXPECT_EQ(request.generate.max_tokens, 7);
    EXPECT_TRUE(request.stream && request.include_usage);
    EXPECT_EQ(chat(R"({"messages":[{"role":"user","content":"a"}]})").generate.max_tokens, -1);
}

TEST(ChatRequestParsing, RefusesWhatItDoesNotUnderstand) {
    const auto with = [](const std::string& more) {
        return R"({"messages":[{"role":"user","content":"a"}],)" + more + "}";
    };
    for (const auto& [body, field] : std::vector<std::pair<std::string, std::string>>{
             {R"({})", "messages"},
             {R"({"messages":[]})", "messages"},
             {R"({"messages":"a"})", "messages"},
             {R"({"messages":["a"]})", "messages[0]"},
             {R"({"messages":[{"role":"user"}]})", "content"},
             {R"({"messages":[{"role":"wizard","content":"a"}]})", "role"},
             {R"({"messages":[{"role":"user","content":5}]})", "content"},
             {R"({"messages":[{"role":"user","content":[{"type":"image_url","image_url":"x"}]}]})", "type"},
             {R"({"messages":[{"role":"user","content":"a","colour":1}]})", "colour"},
             {R"({"messages":[{"role":"assistant","content":"","tool_calls":[{"id":1}]}]})", "tool_calls"},
             {with(R"("top_logprobs":2)"), "top_logprobs"},
             {with(R"("response_format":{"type":"json_object"})"), "response_format"},
             {with(R"("tools":[{"type":"function"}])"), "tools"},
             {with(R"("max_tokens":0)"), "max_tokens"},
         })
        expect_refused(chat, body, field);
}

TEST(TokenizeRequestParsing, TakesContent) {
    EXPECT_TRUE(parse_tokenize_request(R"({"content":"a","add_special":true})", kLimits).add_special);
    expect_refused([](const std::string& body) { return parse_tokenize_request(body, kLimits); }, R"({"text":"a"})",
                   "content");
}

}  // namespace
}  // namespace plasticity
