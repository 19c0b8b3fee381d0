#include "engine/examples.h"

#include <gtest/gtest.h>

#include "core/error.h"
#include "engine/tokenizer.h"
#include "support/corpus_records.h"
#include "support/temp_dir.h"
#include "support/tiny_model.h"

namespace plasticity {
namespace {

using test::completion_record;
using test::messages_record;
using test::text_record;
using test::tokens_record;
using Ids = std::vector<std::int32_t>;

class Examples : public testing::Test {
protected:
    ExampleSet make(const std::vector<CorpusRecord>& records, std::int32_t chunk = 512) const {
        return make_examples(records, tokenizer_, chunk);
    }

    /// Text of the tokens that are (not) targets.
    std::string text_of(const Example& example, bool targets) const {
        std::string text;
        for (std::size_t i = 0; i < example.tokens.size(); ++i)
            if ((example.targets[i] != 0) == targets) text += tokenizer_.piece(example.tokens[i], true);
        return text;
    }

    void expect_error(ErrorKind kind, const std::vector<CorpusRecord>& records, std::int32_t chunk = 512) {
        try {
            make(records, chunk);
            ADD_FAILURE() << "accepted";
        } catch (const Error& error) {
            EXPECT_EQ(error.kind(), kind) << error.what();
        }
    }

    Tokenizer tokenizer_{test::tiny_tokenizer()};
};

TEST_F(Examples, PlainTextIsJoinedAndCutIntoWholeChunks) {
    const ExampleSet set = make({text_record("abc"), text_record("defgh")}, 4);
    ASSERT_EQ(set.examples.size(), 2u);
    EXPECT_EQ(set.examples[0].tokens, (Ids{'a', 'b', 'c', tokenizer_.encode("\n", false, false).front()}));
    EXPECT_EQ(text_of(set.examples[1], true), "defg");
    EXPECT_EQ(text_of(set.examples[1], false), "");
    EXPECT_EQ(set.examples[0].n_targets(), 3);  // the first token has nothing before it
    EXPECT_EQ(set.n_tokens, 8);
}

TEST_F(Examples, TextShorterThanAChunkIsAllThereIs) {
    const ExampleSet set = make({text_record("abc")}, 512);
    ASSERT_EQ(set.examples.size(), 1u);
    EXPECT_EQ(text_of(set.examples[0], true), "abc");
}

TEST_F(Examples, ChunksStartWithBosWhereTheModelAddsOne) {
    GgufMetadata metadata = test::tiny_tokenizer();
    metadata.set("tokenizer.ggml.add_bos_token", true);
    const ExampleSet set = make_examples({text_record("abcdefg")}, Tokenizer(metadata), 4);
    ASSERT_EQ(set.examples.size(), 2u);
    EXPECT_EQ(set.examples[0].tokens, (Ids{test::kTinyEndOfText, 'a', 'b', 'c'}));
    EXPECT_EQ(set.examples[1].tokens, (Ids{test::kTinyEndOfText, 'e', 'f', 'g'}));
}

TEST_F(Examples, OnlyTheCompletionIsATarget) {
    const ExampleSet set = make({completion_record("2+2=", "four"), completion_record("<|im_start|>x", "y<|im_end|>")});
    ASSERT_EQ(set.examples.size(), 2u);
    EXPECT_EQ(text_of(set.examples[0], false), "2+2=");
    EXPECT_EQ(text_of(set.examples[0], true), "four");
    EXPECT_EQ(set.examples[1].tokens, (Ids{262, 'x', 'y', 263}));  // control tokens spelt out are control tokens
}

TEST_F(Examples, OnlyWhatTheAssistantSaysIsATarget) {
    const ExampleSet set = make({messages_record(
        {{"system", "be brief"}, {"user", "hi"}, {"assistant", "yo"}, {"user", "bye"}, {"assistant", "so long"}})});
    ASSERT_EQ(set.examples.size(), 1u);
    EXPECT_EQ(text_of(set.examples[0], true), "yo<|im_end|>\nso long<|im_end|>\n");
    EXPECT_EQ(text_of(set.examples[0], false),
              "<|im_start|>system\nbe brief<|im_end|>\n<|im_start|>user\nhi<|im_end|>\n<|im_start|>assistant\n"
              "<|im_start|>user\nbye<|im_end|>\n<|im_start|>assistant\n");
}

TEST_F(Examples, TokensAreTakenAsTheyAre) {
    const ExampleSet set = make({tokens_record({5, 9, 263, 5})});
    ASSERT_EQ(set.examples.size(), 1u);
    EXPECT_EQ(set.examples[0].tokens, (Ids{5, 9, 263, 5}));
    EXPECT_EQ(set.examples[0].n_targets(), 3);
}

TEST_F(Examples, RecordsComeInOrderAndPlainTextLast) {
    const ExampleSet set = make({text_record("text"), tokens_record({1, 2}), completion_record("p", "c")});
    ASSERT_EQ(set.examples.size(), 3u);
    EXPECT_EQ(set.examples[0].tokens, (Ids{1, 2}));
    EXPECT_EQ(set.examples[1].tokens, (Ids{'p', 'c'}));
    EXPECT_EQ(text_of(set.examples[2], true), "text");
}

TEST_F(Examples, RecordsWithNothingToPredictAreLeftOut) {
    const ExampleSet set = make({tokens_record({7}), completion_record("only a prompt", ""),
                                 messages_record({{"user", "nobody answers"}}), tokens_record({1, 2})});
    EXPECT_EQ(set.examples.size(), 1u);
    EXPECT_EQ(set.n_tokens, 2);
}

TEST_F(Examples, WholeExamplesUntilTheTokensAskedFor) {
    const std::vector<CorpusRecord> records(10, tokens_record({1, 2, 3, 4, 5}));
    EXPECT_EQ(make(records).examples.size(), 10u);
    EXPECT_EQ(make(records).first(1).examples.size(), 1u);
    EXPECT_EQ(make(records).first(10).examples.size(), 2u);
    EXPECT_EQ(make(records).first(11).n_tokens, 15);
}

TEST_F(Examples, LongRecordsAreCutAndCounted) {
    const ExampleSet set = make({tokens_record(Ids(kMaxRecordTokens + 1, 3)), tokens_record(Ids(kMaxRecordTokens, 3)),
                                 completion_record(std::string(kMaxRecordTokens, '?'), "out of reach")});
    ASSERT_EQ(set.examples.size(), 2u) << "a record whose completion was cut off predicts nothing";
    for (const Example& example : set.examples) {
        EXPECT_EQ(example.tokens.size(), kMaxRecordTokens);
        EXPECT_EQ(example.targets.size(), kMaxRecordTokens);
    }
    EXPECT_EQ(set.n_shortened, 2);
}

TEST_F(Examples, SaysSoWhenNothingIsLeft) {
    expect_error(ErrorKind::kUsage, {});
    expect_error(ErrorKind::kUsage, {text_record("a")});
    expect_error(ErrorKind::kUsage, {completion_record("a prompt", "")});
}

TEST_F(Examples, RefusesChunksOutOfRange) {
    for (const std::int32_t chunk : {-1, 0, 1, 2049}) expect_error(ErrorKind::kUsage, {text_record("abc")}, chunk);
}

TEST_F(Examples, HashTellsTokensAndTargetsApart) {
    const std::string hash = make({tokens_record({1, 2, 3})}).sha256();
    EXPECT_EQ(make({tokens_record({1, 2, 3})}).sha256(), hash);
    EXPECT_EQ(hash.size(), 64u);
    EXPECT_NE(make({tokens_record({1, 2, 4})}).sha256(), hash);
    EXPECT_NE(make({completion_record("\x01", "\x02\x03")}).sha256(), hash);
    EXPECT_NE(make({tokens_record({1, 2}), tokens_record({3, 4})}).sha256(),
              make({tokens_record({1, 2, 3, 4})}).sha256());
}

}  // namespace
}  // namespace plasticity
