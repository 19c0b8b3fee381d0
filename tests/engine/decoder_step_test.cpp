#include <gtest/gtest.h>

#include "core/error.h"
#include "engine/decoder.h"
#include "engine/engine_support.h"

namespace plasticity {
namespace {

using test::largest_difference;
using test::logits_of;
using test::quiet;
using test::Rows;
using test::scattered_tokens;

/// Several sequences side by side against each of them alone.
class DecoderSteps : public testing::TestWithParam<std::string> {
protected:
    Decoder load(std::int32_t sequences, int threads = 1) const {
        return {*model_, {.context_length = 700, .threads = threads, .sequences = sequences}, quiet()};
    }

    static SequenceTokens item(std::int32_t sequence, const std::vector<std::int32_t>& tokens, std::size_t from,
                               std::size_t n) {
        return {.sequence = sequence, .tokens = std::span(tokens).subspan(from, n)};
    }

    /// Appends each item's rows to rows[sequence].
    static void step(Decoder& decoder, const std::vector<SequenceTokens>& items, std::vector<Rows>& rows) {
        decoder.step(items, [&](std::size_t i, std::size_t token, std::span<const float> logits) {
            Rows& own = rows[static_cast<std::size_t>(items[i].sequence)];
            EXPECT_LT(token, items[i].tokens.size());
            own.emplace_back(logits.begin(), logits.end());
        });
    }

    test::TempDir dir_;
    std::unique_ptr<Model> model_ =
        open_model(test::write_tiny_gguf(dir_ / "tiny.gguf", test::family_model(GetParam())));
};

/// As for batches of different sizes (decoder_test.cpp): attention kernels for few queries sum values in F16.
TEST_P(DecoderSteps, WhatRunsBesideItChangesASequenceByRoundingOnly) {
    const std::vector<std::vector<std::int32_t>> texts{scattered_tokens(90, 1), scattered_tokens(60, 2),
                                                       scattered_tokens(120, 3)};
    Decoder decoder = load(3);
    std::vector<Rows> rows(3);
    // Prompts of different lengths beside each other, then tokens one by one, then a prompt beside them.
    step(decoder, {item(0, texts[0], 0, 50), item(1, texts[1], 0, 40)}, rows);
    for (std::size_t i = 0; i < 10; ++i)
        step(decoder, {item(0, texts[0], 50 + i, 1), item(1, texts[1], 40 + i, 1)}, rows);
    step(decoder, {item(2, texts[2], 0, 120), item(1, texts[1], 50, 1), item(0, texts[0], 60, 30)}, rows);
    EXPECT_EQ(decoder.position(0), 90);
    EXPECT_EQ(decoder.position(1), 51);
    EXPECT_EQ(decoder.position(2), 120);
    for (std::size_t sequence = 0; sequence < 3; ++sequence) {
        Decoder alone = load(1);
        const Rows expected = logits_of(alone, texts[sequence], texts[sequence].size());
        ASSERT_LE(rows[sequence].size(), expected.size());
        EXPECT_LT(largest_difference(rows[sequence], expected), 5e-2) << sequence;
    }
}

TEST_P(DecoderSteps, ASequenceAloneIsWhatFeedGives) {
    const auto tokens = scattered_tokens(40);
    Decoder one = load(1), many = load(4);
    Rows expected = logits_of(one, tokens, 40);
    std::vector<Rows> rows(4);
    step(many, {item(2, tokens, 0, 40)}, rows);
    EXPECT_EQ(rows[2], expected);
    for (const std::int32_t& token : scattered_tokens(5, 9)) {
        one.feed(std::span(&token, 1), 0,
                 [&](std::int32_t, std::span<const float> row) { expected.emplace_back(row.begin(), row.end()); });
        step(many, {{.sequence = 2, .tokens = std::span(&token, 1)}}, rows);
    }
    EXPECT_EQ(rows[2], expected);
}

TEST_P(DecoderSteps, LoneTokensDoNotDependOnThreads) {
    const auto tokens = scattered_tokens(530);
    std::vector<Rows> rows[2];
    for (const int threads : {1, 2}) {
        Decoder decoder = load(2, threads);
        auto& own = rows[threads - 1] = std::vector<Rows>(2);
        step(decoder, {item(0, tokens, 0, 520)}, own);
        step(decoder, {item(1, tokens, 0, 520)}, own);
        for (std::size_t i = 520; i < 530; ++i) step(decoder, {item(0, tokens, i, 1), item(1, tokens, i, 1)}, own);
    }
    EXPECT_EQ(rows[0], rows[1]);
}

TEST_P(DecoderSteps, GivesOnlyTheLogitsThatAreWanted) {
    const auto tokens = scattered_tokens(10);
    Decoder decoder = load(2);
    std::vector<std::pair<std::size_t, std::size_t>> given;
    SequenceTokens last = item(0, tokens, 0, 10), none = item(1, tokens, 0, 5);
    last.first_wanted = 8, none.first_wanted = 5;
    const std::vector<SequenceTokens> items{none, last};
    decoder.step(items,
                 [&](std::size_t i, std::size_t token, std::span<const float>) { given.emplace_back(i, token); });
    EXPECT_EQ(given, (std::vector<std::pair<std::size_t, std::size_t>>{{1, 8}, {1, 9}}));
}

/// Behind the last attention the others are left out: products of fewer rows sum in another order.
TEST_P(DecoderSteps, WantedTokensGetWhatTheyGetAmongOthers) {
    const auto tokens = scattered_tokens(90);
    Decoder all = load(2), few = load(2);
    std::vector<Rows> expected(2), rows(2);
    std::vector<SequenceTokens> items{item(0, tokens, 0, 50), item(1, tokens, 50, 40)};
    step(all, items, expected);
    items[0].first_wanted = 49, items[1].first_wanted = 33;
    step(few, items, rows);
    EXPECT_LT(largest_difference(rows[0], Rows(expected[0].begin() + 49, expected[0].end())), 1e-4);
    EXPECT_LT(largest_difference(rows[1], Rows(expected[1].begin() + 33, expected[1].end())), 1e-4);
    // Where none was wanted the caches are filled all the same.
    for (SequenceTokens& unwanted : items) unwanted.first_wanted = unwanted.tokens.size();
    std::vector<Rows> nothing(2), next(2), expected_next(2);
    few.rewind(0, 0), few.rewind(0, 1);
    step(few, items, nothing);
    EXPECT_TRUE(nothing[0].empty() && nothing[1].empty());
    const std::vector<SequenceTokens> successors{item(0, tokens, 50, 1), item(1, tokens, 0, 1)};
    step(few, successors, next);
    step(all, successors, expected_next);
    for (const std::size_t i : {0, 1}) EXPECT_LT(largest_difference(next[i], expected_next[i]), 1e-4) << i;
}

TEST_P(DecoderSteps, RewindsAndRefusesBySequence) {
    const auto tokens = scattered_tokens(700);
    Decoder decoder = load(2);
    std::vector<Rows> rows(2);
    step(decoder, {item(0, tokens, 0, 20), item(1, tokens, 0, 10)}, rows);
    decoder.rewind(5, 0);
    EXPECT_EQ(decoder.position(0), 5);
    EXPECT_EQ(decoder.position(1), 10);
    EXPECT_THROW(step(decoder, {item(0, tokens, 0, 3), item(1, tokens, 0, 691)}, rows), Error);
    EXPECT_EQ(decoder.position(0), 5) << "nothing is fed where one item is refused";
    EXPECT_EQ(decoder.cache_bytes(), 2 * load(1).cache_bytes());
}

INSTANTIATE_TEST_SUITE_P(Families, DecoderSteps, testing::Values("llama", "qwen2", "deci"),
                         [](const auto& family) { return family.param; });

}  // namespace
}  // namespace plasticity
