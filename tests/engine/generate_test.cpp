#include "engine/generate.h"

#include <gtest/gtest.h>

#include <cmath>
#include <map>

#include "core/error.h"
#include "engine/engine_support.h"

namespace plasticity {
namespace {

using test::quiet;

/// A model that spells `line` from its first byte on (no byte twice), then ends the text.
class Speller {
public:
    explicit Speller(std::string_view line) {
        std::map<int, int> successor;
        for (std::size_t i = 0; i + 1 < line.size(); ++i) successor[byte(line[i])] = byte(line[i + 1]);
        successor[byte(line.back())] = test::kTinyMessageEnd;
        const auto logit = [&](int token, int next) {
            const auto found = successor.find(token);
            return found != successor.end() && found->second == next ? 20.0f : 0.0f;
        };
        model_ = open_model(test::write_scripted_gguf(dir_ / "speller.gguf", logit));
        tokenizer_ = std::make_unique<Tokenizer>(model_->tokenizer());
        prompt_ = byte(line.front());
    }

    Generation say(const std::vector<std::string>& stop, std::int32_t max_tokens = 64, std::int32_t context = 64) {
        pieces.clear();
        Decoder decoder(*model_, {.context_length = context, .threads = 1}, quiet());
        GenerateOptions options;
        options.max_tokens = max_tokens;
        options.sampler.temperature = 0;
        options.stop = stop;
        options.top_probabilities = 2;
        return generate(decoder, *tokenizer_, {.tokens = std::span(&prompt_, 1)}, options,
                        [&](std::string_view piece) { pieces.emplace_back(piece); });
    }

    std::string heard() const {
        std::string all;
        for (const std::string& piece : pieces) all += piece;
        return all;
    }

    std::vector<std::string> pieces;

private:
    static int byte(char letter) { return static_cast<unsigned char>(letter); }

    test::TempDir dir_;
    std::unique_ptr<Model> model_;
    std::unique_ptr<Tokenizer> tokenizer_;
    std::int32_t prompt_ = 0;
};

TEST(Generate, GoesOnToTheEndOfText) {
    Speller model("abcdef");
    const Generation said = model.say({});
    EXPECT_EQ(said.text, "bcdef");
    EXPECT_EQ(said.reason, StopReason::kEndOfText);
    EXPECT_EQ(token_ids(said.tokens), (std::vector<std::int32_t>{'b', 'c', 'd', 'e', 'f'}));
    EXPECT_EQ(model.pieces, (std::vector<std::string>{"b", "c", "d", "e", "f"}));
    const ScoredToken& first = said.tokens.front();
    EXPECT_NEAR(first.log_probability, -std::log1p(263 * std::exp(-20.0)), 1e-6);
    ASSERT_EQ(first.top.size(), 2u);
    EXPECT_EQ(first.top[0], (TokenProbability{'b', first.log_probability}));
    EXPECT_EQ(first.top[1].token, 0) << "of equal tokens the first";
    EXPECT_NEAR(first.top[1].log_probability, first.log_probability - 20, 1e-5);
}

TEST(Generate, StopStringMayBeSplitOverTokens) {
    Speller model("abcdef");
    const Generation said = model.say({"de"});
    EXPECT_EQ(said.text, "bc");
    EXPECT_EQ(said.reason, StopReason::kStopString);
    EXPECT_EQ(model.heard(), "bc") << "no part of a stop string is shown";
}

TEST(Generate, WhatOnlyBeginsAStopStringIsHeldBackNotLost) {
    Speller model("abcdef");
    const Generation said = model.say({"cdx", "fgh"});
    EXPECT_EQ(said.text, "bcdef");
    EXPECT_EQ(said.reason, StopReason::kEndOfText);
    EXPECT_EQ(model.pieces, (std::vector<std::string>{"b", "cde", "f"}));
}

TEST(Generate, FirstOfSeveralStopStringsWins) {
    Speller model("abcdef");
    EXPECT_EQ(model.say({"ef", "cd", ""}).text, "b");
    EXPECT_EQ(model.say({"b"}).text, "");
}

TEST(Generate, ShowsWholeCharactersOnly) {
    Speller model("a\xC3\xA9\xE2\x82\xAC\xF0\x9F\x98\x80z");  // é € 😀
    const Generation said = model.say({});
    EXPECT_EQ(said.text, "é€😀z");
    EXPECT_EQ(model.pieces, (std::vector<std::string>{"é", "€", "😀", "z"}));
}

TEST(Generate, StopStringsOfSeveralBytesPerCharacter) {
    Speller model("ab\xC3\xA9\xE2\x82\xACz");
    EXPECT_EQ(model.say({"é€"}).text, "b");
    EXPECT_EQ(model.heard(), "b");
}

TEST(Generate, StopsAtTheLengthAskedFor) {
    Speller model("abcdef");
    const Generation said = model.say({}, 3);
    EXPECT_EQ(said.text, "bcd");
    EXPECT_EQ(said.reason, StopReason::kLength);
    EXPECT_EQ(model.say({}, 0).text, "");
    EXPECT_EQ(model.say({"bcdx"}, 3).text, "bcd") << "what was held back is given out at the end";
    EXPECT_EQ(model.heard(), "bcd");
}

TEST(Generate, StopsWhereTheContextEnds) {
    Speller model("abcdef");
    const Generation said = model.say({}, 64, 3);
    EXPECT_EQ(said.text, "bcd");
    EXPECT_EQ(said.reason, StopReason::kContext);
    EXPECT_EQ(model.say({}, -1, 3).reason, StopReason::kContext);
    EXPECT_EQ(model.say({}, 3, 3).reason, StopReason::kLength);
    EXPECT_EQ(model.say({}, -1).text, "bcdef");
}

class GenerateFromATinyModel : public testing::Test {
protected:
    Generation say(const SamplerOptions& sampler, int threads = 1) {
        Decoder decoder(*model_, {.context_length = 64, .threads = threads}, quiet());
        const auto prompt = tokenizer_.encode("in the", true, true);
        return generate(decoder, tokenizer_, {.tokens = prompt},
                        {.max_tokens = 24, .sampler = sampler, .top_probabilities = 0}, {});
    }

    test::TempDir dir_;
    std::unique_ptr<Model> model_ = open_model(test::write_tiny_gguf(dir_ / "tiny.gguf"));
    Tokenizer tokenizer_{model_->tokenizer()};
};

TEST_F(GenerateFromATinyModel, GreedyIsDeterministic) {
    const Generation first = say({.temperature = 0, .seed = 1});
    EXPECT_EQ(say({.temperature = 0, .seed = 2}).tokens, first.tokens);
    EXPECT_EQ(say({.temperature = 0}, 2).tokens, first.tokens);
    EXPECT_EQ(say({.temperature = 5, .top_k = 1, .seed = 3}).tokens, first.tokens);
}

TEST_F(GenerateFromATinyModel, SamplingFollowsItsSeed) {
    const SamplerOptions sampler{.temperature = 1.5f, .top_k = 0, .top_p = 1, .min_p = 0, .seed = 7};
    SamplerOptions other = sampler;
    other.seed = 8;
    EXPECT_EQ(say(sampler).tokens, say(sampler, 2).tokens);
    EXPECT_NE(say(sampler).tokens, say(other).tokens);
}

TEST_F(GenerateFromATinyModel, GoesOnFromWhatTheDecoderHolds) {
    const Generation whole = say({.temperature = 0});
    Decoder decoder(*model_, {.context_length = 64, .threads = 1}, quiet());
    const auto prompt = tokenizer_.encode("in the", true, true);
    const std::span<const std::int32_t> first(prompt.data(), 1), rest = std::span(prompt).subspan(1);
    const auto say_rest = [&] {
        return generate(decoder, tokenizer_, {.tokens = rest, .fed_already = first},
                        {.max_tokens = 24, .sampler = {.temperature = 0}}, {});
    };
    decoder.feed(first, 1, {});
    EXPECT_EQ(token_ids(say_rest().tokens), token_ids(whole.tokens));
    decoder.rewind(1);
    EXPECT_EQ(decoder.position(), 1);
    EXPECT_EQ(token_ids(say_rest().tokens), token_ids(whole.tokens)) << "what was rewound is forgotten";
}

TEST_F(GenerateFromATinyModel, RefusesAnEmptyPromptAndOneTooLong) {
    Decoder decoder(*model_, {.context_length = 8, .threads = 1}, quiet());
    const auto too_many = test::scattered_tokens(9);
    EXPECT_THROW(generate(decoder, tokenizer_, {}, {}, {}), Error);
    EXPECT_THROW(generate(decoder, tokenizer_, {.tokens = too_many}, {}, {}), Error);
}

}  // namespace
}  // namespace plasticity
