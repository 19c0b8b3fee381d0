#include "engine/tokenizer.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "core/error.h"
#include "engine/character_runs.h"
#include "support/tiny_model.h"

namespace plasticity {
namespace {

using Ids = std::vector<std::int32_t>;

std::string decode(const Tokenizer& tokenizer, const Ids& ids, bool show_special = false) {
    std::string text;
    for (const std::int32_t id : ids) text += tokenizer.piece(id, show_special);
    return text;
}

class TinyTokenizer : public testing::TestWithParam<const char*> {
protected:
    Tokenizer tokenizer_{test::tiny_tokenizer(GetParam())};
};

TEST_P(TinyTokenizer, DecodesWhatItEncoded) {
    for (const char* text : {"", "a", "the inner", "def f(x):\n    return x  # 2 > 1\n\n", "é€😀 \t\r\n",
                             "  in  the  er", "<|im_start|>user", "\x01\x7f"}) {
        const Ids ids = tokenizer_.encode(text, true, false);
        EXPECT_EQ(decode(tokenizer_, ids), text);
    }
}

TEST_P(TinyTokenizer, AppliesMerges) {
    EXPECT_EQ(tokenizer_.encode("in the", false, false), (Ids{259, 258}));
    EXPECT_EQ(tokenizer_.encode("er", false, false), (Ids{260}));
}

TEST_P(TinyTokenizer, ReadsSpecialTokensOnlyWhereAsked) {
    EXPECT_EQ(tokenizer_.encode("<|im_end|>", false, true), (Ids{test::kTinyMessageEnd}));
    EXPECT_EQ(tokenizer_.encode("<|im_end|>", false, false).size(), 10u);
    EXPECT_EQ(tokenizer_.piece(test::kTinyMessageEnd), "");
    EXPECT_EQ(tokenizer_.piece(test::kTinyMessageEnd, true), "<|im_end|>");
}

TEST_P(TinyTokenizer, KnowsItsSpecialIds) {
    EXPECT_EQ(tokenizer_.size(), test::kTinyVocabulary);
    EXPECT_EQ(tokenizer_.bos(), test::kTinyEndOfText);
    EXPECT_FALSE(tokenizer_.adds_bos());
    EXPECT_TRUE(tokenizer_.ends_generation(test::kTinyMessageEnd));
    EXPECT_FALSE(tokenizer_.ends_generation('a'));
}

TEST_P(TinyTokenizer, WritesConversationsInTheModelsForm) {
    const std::vector<ChatMessage> said{{"user", "hi"}, {"assistant", "yo"}};
    EXPECT_EQ(tokenizer_.apply_chat_template(said, false),
              "<|im_start|>user\nhi<|im_end|>\n<|im_start|>assistant\nyo<|im_end|>\n");
    EXPECT_EQ(tokenizer_.apply_chat_template(std::span(said).first(1)),
              "<|im_start|>user\nhi<|im_end|>\n<|im_start|>assistant\n");
    const std::string essay(20'000, 'x');  // beyond the first guess of the answer's size
    const ChatMessage message{"user", essay};
    EXPECT_NE(tokenizer_.apply_chat_template(std::span(&message, 1)).find(essay), std::string::npos);
}

INSTANTIATE_TEST_SUITE_P(PreTokenizers, TinyTokenizer, testing::Values("smollm", "qwen2"));

TEST(Tokenizer, AddsBosWhereTheModelAsksForIt) {
    GgufMetadata metadata = test::tiny_tokenizer();
    metadata.set("tokenizer.ggml.add_bos_token", true);
    const Tokenizer tokenizer(metadata);
    EXPECT_TRUE(tokenizer.adds_bos());
    EXPECT_EQ(tokenizer.encode("a", true, false), (Ids{test::kTinyEndOfText, 'a'}));
    EXPECT_EQ(tokenizer.encode("a", false, false), (Ids{'a'}));
}

TEST(Tokenizer, SaysWhatIsMissing) {
    const auto kind_of = [](const GgufMetadata& metadata) {
        try {
            const Tokenizer tokenizer(metadata);
        } catch (const Error& error) {
            return error.kind();
        }
        return ErrorKind::kInternal;
    };
    EXPECT_EQ(kind_of({}), ErrorKind::kMalformed);
    GgufMetadata unknown = test::tiny_tokenizer();
    unknown.set("tokenizer.ggml.model", std::string("runes"));
    EXPECT_EQ(kind_of(unknown), ErrorKind::kMalformed);
}

TEST(Tokenizer, WithoutATemplateThereIsNoChat) {
    GgufMetadata metadata = test::tiny_tokenizer();
    metadata.erase("tokenizer.chat_template");
    const ChatMessage message{"user", "hi"};
    EXPECT_THROW(Tokenizer(metadata).apply_chat_template(std::span(&message, 1)), Error);
}

/// libllama alone would end the process with an assertion at the first text.
TEST(HostileVocabulary, CannotHaveATokenAddedThatItLacks) {
    for (const char* name : {"bos", "eos"}) {
        GgufMetadata metadata;
        metadata.set("tokenizer.ggml.model", std::string("gpt2"));
        metadata.set("tokenizer.ggml.pre", std::string("qwen2"));
        metadata.set("tokenizer.ggml.tokens", GgufArray(std::vector<std::string>{"a", "b"}));
        metadata.set("tokenizer.ggml.merges", GgufArray(std::vector<std::string>{}));
        metadata.set(fmt::format("tokenizer.ggml.add_{}_token", name), true);
        try {
            const Tokenizer tokenizer(metadata);
            ADD_FAILURE() << name;
        } catch (const Error& error) {
            EXPECT_EQ(error.kind(), ErrorKind::kMalformed);
            EXPECT_NE(std::string_view(error.what()).find(fmt::format("tokenizer.ggml.{}_token_id", name)),
                      std::string_view::npos)
                << error.what();
        }
    }
}

TEST(HostileVocabulary, IsMalformedWhereAByteHasNoToken) {
    GgufMetadata metadata;
    metadata.set("tokenizer.ggml.model", std::string("llama"));
    metadata.set("tokenizer.ggml.tokens", GgufArray(std::vector<std::string>{"<unk>", "<s>", "</s>", "t"}));
    metadata.set("tokenizer.ggml.token_type", GgufArray(std::vector<std::int32_t>{2, 3, 3, 1}));
    metadata.set("tokenizer.ggml.scores", GgufArray(std::vector<float>(4)));
    const Tokenizer tokenizer(metadata);
    try {
        tokenizer.encode("q", true, false);
        ADD_FAILURE() << "encoded";
    } catch (const Error& error) {
        EXPECT_EQ(error.kind(), ErrorKind::kMalformed) << error.what();
    }
}

TEST(HostileVocabulary, OfVeryManyKeysTakesNoTime) {
    GgufMetadata metadata = test::tiny_tokenizer();
    for (int i = 0; i < 100'000; ++i) metadata.set(fmt::format("tokenizer.{}", i), std::uint8_t{1});
    EXPECT_EQ(Tokenizer(metadata).size(), test::kTinyVocabulary);  // handed on one by one they would take minutes
}

TEST(TokenizerLimits, WordsThatOverflowTheStackAreRefused) {
    const Tokenizer tokenizer(test::tiny_tokenizer("deepseek-llm"));
    const std::string word(7000, 'a');
    EXPECT_FALSE(tokenizer.encode(word + " " + word + "." + word, true, false).empty());
    for (const char letter : {'a', ' ', '!'}) {
        try {
            tokenizer.encode(std::string(1 << 20, letter), true, false);
            ADD_FAILURE() << "encoded";
        } catch (const Error& error) {
            EXPECT_EQ(error.kind(), ErrorKind::kUsage) << error.what();
        }
    }
    EXPECT_FALSE(Tokenizer(test::tiny_tokenizer()).encode(std::string(1 << 20, 'a'), true, false).empty());
}

TEST(LongestRun, CountsCharactersOfOneKind) {
    EXPECT_EQ(longest_run(""), 0u);
    EXPECT_EQ(longest_run("ab cde!"), 3u);
    EXPECT_EQ(longest_run("a\n\n\n b"), 4u);
    EXPECT_EQ(longest_run("a.,;b"), 3u);
    EXPECT_EQ(longest_run("\u4f60\u597d\u3002\u4f60"), 2u);
    EXPECT_EQ(longest_run("\xff\xff\xff"), 3u);
}

}  // namespace
}  // namespace plasticity
