#include "engine/sampler.h"

#include <gtest/gtest.h>

#include <set>

#include "core/error.h"
#include "engine/engine_support.h"
#include "engine/tokenizer.h"

namespace plasticity {
namespace {

class SamplerOfBytes : public testing::Test {
protected:
    SamplerOfBytes() : logits_(static_cast<std::size_t>(tokenizer_.size()), -30.0f) {}

    Sampler sampler(const SamplerOptions& options) const { return {options, tokenizer_}; }
    float& logit(char letter) { return logits_[static_cast<unsigned char>(letter)]; }

    /// Letters that come up in a thousand draws.
    std::string drawn(Sampler sampler, int draws = 1000) const {
        std::set<char> seen;
        for (int i = 0; i < draws; ++i) seen.insert(static_cast<char>(sampler.choose(logits_)));
        return {seen.begin(), seen.end()};
    }

    std::string spelt(const SamplerOptions& options, int n) const {
        Sampler chooser = sampler(options);
        std::string text;
        for (int i = 0; i < n; ++i) {
            const std::int32_t token = chooser.choose(logits_);
            if (tokenizer_.ends_generation(token)) return text + "|";
            text += tokenizer_.piece(token);
        }
        return text;
    }

    Tokenizer tokenizer_{test::tiny_tokenizer()};
    std::vector<float> logits_;
};

TEST_F(SamplerOfBytes, CutsTheTailAsAsked) {
    logit('a') = 3, logit('b') = 2.5f, logit('c') = 2, logit('d') = -1;
    SamplerOptions open{.temperature = 1, .top_k = 0, .top_p = 1, .min_p = 0, .seed = 3};
    SamplerOptions two = open, likely = open, near = open;
    two.top_k = 2, likely.top_p = 0.4f, near.min_p = 0.3f;
    EXPECT_TRUE(drawn(sampler(open)).starts_with("abcd"));
    EXPECT_EQ(drawn(sampler(two)), "ab");
    EXPECT_EQ(drawn(sampler(likely)), "a") << "p(a) = 0.50";
    EXPECT_EQ(drawn(sampler(near)), "abc") << "p(c)/p(a) = 0.37";
}

TEST_F(SamplerOfBytes, PenaltiesMakeRecentTokensLessLikely) {
    logit('a') = 3, logit('b') = 2.5f, logit('c') = 2.2f;
    EXPECT_EQ(spelt({.temperature = 0}, 4), "aaaa");
    EXPECT_EQ(spelt({.temperature = 0, .repeat_penalty = 1.5f}, 4), "abca");
    EXPECT_EQ(spelt({.temperature = 0, .frequency_penalty = 0.4f}, 4), "aaba");
    EXPECT_EQ(spelt({.temperature = 0, .presence_penalty = 1.0f}, 4), "abca");
    EXPECT_EQ(spelt({.temperature = 0, .repeat_penalty = 1.5f, .repeat_last_n = 1}, 4), "abab");
    EXPECT_EQ(spelt({.temperature = 0, .repeat_penalty = 1.5f, .repeat_last_n = 0}, 4), "aaaa");
}

TEST_F(SamplerOfBytes, PenaltiesCountThePrompt) {
    logit('a') = 3, logit('b') = 2.5f;
    Sampler chooser = sampler({.temperature = 0, .presence_penalty = 1.0f, .repeat_last_n = -1});
    chooser.accept_prompt(std::vector<std::int32_t>{'a'});
    EXPECT_EQ(chooser.choose(logits_), 'b');
}

TEST_F(SamplerOfBytes, GrammarIsFollowed) {
    logit('z') = 9, logit('b') = 2, logit('a') = 1;
    const std::string grammar = "root ::= \"x\" [ab] [ab] \"y\"";
    EXPECT_EQ(spelt({.temperature = 0, .grammar = grammar}, 9), "xbby|");
    EXPECT_EQ(spelt({.temperature = 0, .repeat_penalty = 5, .grammar = grammar}, 9), "xbay|");
    std::set<std::string> texts;
    for (std::uint32_t seed = 0; seed < 50; ++seed)
        texts.insert(spelt({.temperature = 1, .top_k = 1, .seed = seed, .grammar = grammar}, 9));
    EXPECT_EQ(texts, std::set<std::string>{"xbby|"}) << "cuts are made among what the grammar allows";
}

TEST_F(SamplerOfBytes, GrammarThatLibllamaDoesNotTakeIsAUsageError) {
    for (const char* grammar : {"start ::= \"a\"", "root ::= root \"a\"", "root ::= missing"}) {
        try {
            sampler({.temperature = 0, .grammar = grammar});
            ADD_FAILURE() << grammar;
        } catch (const Error& error) {
            EXPECT_EQ(error.kind(), ErrorKind::kUsage) << grammar;
        }
    }
}

}  // namespace
}  // namespace plasticity
