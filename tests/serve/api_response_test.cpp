#include "serve/api_response.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "support/tiny_model.h"

namespace plasticity {
namespace {

using nlohmann::json;

class Answers : public testing::Test {
protected:
    AnswerWriter writer(bool with_probabilities) const {
        return {tokenizer_, {"id-1", "tiny", 17}, with_probabilities};
    }

    static AnswerText spoken() {
        return {.index = 0,
                .text = "ab",
                .tokens = {{'a', -0.5f, {{'a', -0.5f}, {'b', -1.5f}}}, {'b', -0.25f, {{'b', -0.25f}}}},
                .end = TextEnd{.reason = StopReason::kLength, .prompt_tokens = 3, .generated_tokens = 2}};
    }

    Tokenizer tokenizer_{test::tiny_tokenizer()};
};

TEST_F(Answers, CompletionHasTextProbabilitiesAndUsage) {
    AnswerText text = spoken();
    text.prompt_text = "xy";
    text.prompt_tokens = {'x', 'y'};
    text.prompt_scores = {{'y', -2.0f, {{'z', -1.0f}}}};
    Usage usage;
    usage.add(*text.end, true);
    const json answer = json::parse(writer(true).completion({text}, usage));
    EXPECT_EQ(answer.at("object"), "text_completion");
    EXPECT_EQ(answer.at("id"), "id-1");
    const json& choice = answer.at("choices").at(0);
    EXPECT_EQ(choice.at("text"), "xyab");
    EXPECT_EQ(choice.at("finish_reason"), "length");
    const json& probabilities = choice.at("logprobs");
    EXPECT_EQ(probabilities.at("tokens"), json({"x", "y", "a", "b"}));
    EXPECT_EQ(probabilities.at("token_logprobs"), json({nullptr, -2.0, -0.5, -0.25}));
    EXPECT_EQ(probabilities.at("text_offset"), json({0, 1, 2, 3}));
    EXPECT_TRUE(probabilities.at("top_logprobs").at(0).is_null());
    EXPECT_EQ(probabilities.at("top_logprobs").at(1), json({{"z", -1.0}}));
    EXPECT_EQ(answer.at("usage").at("prompt_tokens"), 3);
    EXPECT_EQ(answer.at("usage").at("total_tokens"), 5);
    EXPECT_TRUE(json::parse(writer(false).completion({text}, usage)).at("choices").at(0).at("logprobs").is_null());
}

TEST_F(Answers, TheTokenThatEndedATextIsAmongItsProbabilities) {
    AnswerText text = spoken();
    text.end->reason = StopReason::kEndOfText;
    text.end->end_token = ScoredToken{test::kTinyMessageEnd, -0.125f, {}};
    const json choice = json::parse(writer(true).completion({text}, {})).at("choices").at(0);
    EXPECT_EQ(choice.at("finish_reason"), "stop");
    EXPECT_EQ(choice.at("text"), "ab");
    EXPECT_EQ(choice.at("logprobs").at("tokens").back(), "<|im_end|>");
}

TEST_F(Answers, ChatHasAMessageAndBytes) {
    const json choice = json::parse(writer(true).chat({spoken()}, {})).at("choices").at(0);
    EXPECT_EQ(choice.at("message").at("role"), "assistant");
    EXPECT_EQ(choice.at("message").at("content"), "ab");
    const json& first = choice.at("logprobs").at("content").at(0);
    EXPECT_EQ(first.at("token"), "a");
    EXPECT_EQ(first.at("bytes"), json({97}));
    EXPECT_EQ(first.at("top_logprobs").size(), 2u);
}

TEST_F(Answers, PartsOfCharactersAreSpeltAsBytes) {
    AnswerText text = spoken();
    text.tokens = {{0xE2, -1.0f, {}}};
    text.text = std::string(1, '\xE2');
    const json choice = json::parse(writer(true).completion({text}, {})).at("choices").at(0);
    EXPECT_EQ(choice.at("logprobs").at("tokens").at(0), "bytes:\\xe2");
    EXPECT_EQ(choice.at("text"), "\uFFFD");
}

TEST_F(Answers, ChunksSayWhoSpeaksFirstAndWhyItEndsLast) {
    AnswerText piece = spoken();
    piece.end.reset();
    json chunk = json::parse(writer(false).chat_chunk(piece, true));
    EXPECT_EQ(chunk.at("object"), "chat.completion.chunk");
    EXPECT_EQ(chunk.at("choices").at(0).at("delta"), json({{"role", "assistant"}, {"content", "ab"}}));
    EXPECT_TRUE(chunk.at("choices").at(0).at("finish_reason").is_null());
    piece = {.index = 1, .end = TextEnd{.reason = StopReason::kStopString}};
    chunk = json::parse(writer(false).chat_chunk(piece, false));
    EXPECT_EQ(chunk.at("choices").at(0).at("delta"), json::object());
    EXPECT_EQ(chunk.at("choices").at(0).at("index"), 1);
    EXPECT_EQ(chunk.at("choices").at(0).at("finish_reason"), "stop");
    chunk = json::parse(writer(false).usage_chunk("chat.completion.chunk", {.prompt_tokens = 4}));
    EXPECT_EQ(chunk.at("choices"), json::array());
    EXPECT_EQ(chunk.at("usage").at("prompt_tokens"), 4);
}

TEST(ErrorJson, IsOpenAisAndBounded) {
    EXPECT_EQ(json::parse(error_json(400, "no")).at("error").at("type"), "invalid_request_error");
    EXPECT_EQ(json::parse(error_json(401, "no")).at("error").at("type"), "authentication_error");
    EXPECT_EQ(json::parse(error_json(503, "no")).at("error").at("type"), "server_error");
    EXPECT_LT(error_json(400, std::string(1 << 20, 'x')).size(), 2000u);
    EXPECT_TRUE(json::parse(error_json(400, "\xff\xfe")).is_object());
}

}  // namespace
}  // namespace plasticity
