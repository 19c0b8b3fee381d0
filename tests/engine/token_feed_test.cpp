#include "engine/token_feed.h"

#include <gtest/gtest.h>

#include <map>

#include "core/error.h"
#include "engine/engine_support.h"
#include "engine/generate.h"

namespace plasticity {
namespace {

using test::quiet;
using Tokens = std::vector<std::int32_t>;

/// Models of one vocabulary, as files.
class TokenFeeds : public testing::Test {
protected:
    /// Spells `line` from its first byte on (no byte twice), then ends the text.
    std::filesystem::path speller(const std::string& line, double logit = 20) {
        std::map<int, int> successor;
        for (std::size_t i = 0; i + 1 < line.size(); ++i) successor[line[i]] = line[i + 1];
        successor[line.back()] = test::kTinyMessageEnd;
        return test::write_scripted_gguf(dir_ / (line + ".gguf"), [&](int token, int next) {
            const auto found = successor.find(token);
            return found != successor.end() && found->second == next ? static_cast<float>(logit) : 0.0f;
        });
    }

    std::unique_ptr<Decoder> decoder(const std::filesystem::path& path, std::int32_t context = 64) {
        return std::make_unique<Decoder>(*open_model(path), DecoderOptions{.context_length = context, .threads = 1},
                                         quiet());
    }

    Generation say(Decoder& model, Draft* draft, const std::filesystem::path& path, const GenerateOptions& options,
                   const std::string& prompt = "a") {
        const Tokenizer tokenizer(open_model(path)->tokenizer());
        const Tokens tokens = tokenizer.encode(prompt, false, false);
        return generate(TokenFeed(model, draft), tokenizer, {.tokens = tokens}, options, {});
    }

    static GenerateOptions greedy(std::int32_t max_tokens = 32) {
        return {.max_tokens = max_tokens, .sampler = {.temperature = 0}};
    }

    test::TempDir dir_;
};

TEST_F(TokenFeeds, GuessesThatFitAreAcceptedAndOthersForgotten) {
    const auto path = speller("abcdefgh");
    const auto model = decoder(path);
    Draft draft(decoder(speller("abcdXefgh")), 8);
    const Generation said = say(*model, &draft, path, greedy());
    EXPECT_EQ(said.text, "bcdefgh");
    EXPECT_EQ(said.reason, StopReason::kEndOfText);
    // Behind b: c, d, X, e, f, g, h and the end, of which c and d fit; behind e: f, g, h and the end, of which only the
    // end is never fed.
    EXPECT_EQ(said.draft.guessed, 12);
    EXPECT_EQ(said.draft.accepted, 5);
    EXPECT_EQ(model->position(), 8) << "the prompt and what was fed of the text";
}

TEST_F(TokenFeeds, AnUnsureDraftGuessesNothing) {
    const auto path = speller("abcdef");
    const auto model = decoder(path);
    Draft draft(decoder(speller("abcde", 1)), 8);
    const Generation said = say(*model, &draft, path, greedy());
    EXPECT_EQ(said.text, "bcdef");
    EXPECT_EQ(said.draft.guessed, 0);
}

TEST_F(TokenFeeds, TextEndsWhereTheContextDoes) {
    const auto path = speller("abcdefgh");
    const auto model = decoder(path, 5);
    Draft draft(decoder(path, 5), 8);
    const Generation said = say(*model, &draft, path, greedy());
    const Generation alone = say(*decoder(path, 5), nullptr, path, greedy());
    EXPECT_EQ(said.text, alone.text);
    EXPECT_EQ(said.reason, StopReason::kContext);
}

TEST_F(TokenFeeds, ASecondTextReadsOnlyWhatDiffers) {
    const auto path = speller("abcdefgh");
    const auto model = decoder(path);
    Draft draft(decoder(path), 3);
    EXPECT_EQ(say(*model, &draft, path, greedy(3)).text, "bcd");
    model->clear();
    EXPECT_EQ(say(*model, &draft, path, greedy(4), "ab").text, "cdef");
    model->clear();
    EXPECT_EQ(say(*model, &draft, path, greedy(2), "e").text, "fg");
}

TEST_F(TokenFeeds, SamplingDrawsTheSameWithAnyDraft) {
    const auto path = test::write_tiny_gguf(dir_ / "tiny.gguf");
    const auto other = test::write_tiny_gguf(dir_ / "other.gguf", {.n_layer = 1});
    const auto model = decoder(path, 128);
    for (const float temperature : {0.0f, 0.4f, 1.5f}) {
        const GenerateOptions options{.max_tokens = 60, .sampler = {.temperature = temperature, .top_k = 0, .seed = 7}};
        model->clear();
        const Tokens alone = token_ids(say(*model, nullptr, path, options, "in the").tokens);
        for (const auto& guesser : {path, other}) {
            Draft draft(decoder(guesser, 128), 4);
            model->clear();
            EXPECT_EQ(token_ids(say(*model, &draft, path, options, "in the").tokens), alone) << temperature;
        }
    }
}

TEST_F(TokenFeeds, AnotherVocabularyIsRefused) {
    const auto path = test::write_tiny_gguf(dir_ / "tiny.gguf");
    const Tokenizer tokenizer(open_model(path)->tokenizer());
    GgufLayout layout = test::tiny_layout();
    auto tokens = *layout.metadata.array<std::string>("tokenizer.ggml.tokens");
    tokens[65] = "other";
    layout.metadata.set("tokenizer.ggml.tokens", GgufArray(tokens));
    const auto other = test::write_tiny_layout(dir_ / "other.gguf", layout);
    try {
        Draft::open({.model = other}, tokenizer, 64, {.backend = {.device = "cpu"}, .threads = 1}, quiet());
        FAIL();
    } catch (const Error& error) {
        EXPECT_EQ(error.kind(), ErrorKind::kUsage);
        EXPECT_NE(std::string(error.what()).find("token 65 differs"), std::string::npos) << error.what();
    }
    EXPECT_EQ(Draft::open({}, tokenizer, 64, {.backend = {.device = "cpu"}, .threads = 1}, quiet()), nullptr);
}

/// What is guessed for multiplies mostly by several tokens at once; a user may want copies all the same.
TEST(CacheBeside, LeavesCopiesOutWhereNobodyAsksForThem) {
    EXPECT_EQ(cache_beside({.model = "draft.gguf"}, {}).repack, false);
    EXPECT_EQ(cache_beside({.model = "draft.gguf"}, {.repack = true}).repack, true);
    EXPECT_EQ(cache_beside({}, {}).repack, std::nullopt);
}

}  // namespace
}  // namespace plasticity
