#include <gtest/gtest.h>

#include <array>
#include <functional>
#include <nlohmann/json.hpp>

#include "core/error.h"
#include "io/atomic_file.h"
#include "model/piece_scores.h"
#include "model/sentencepiece_form.h"
#include "model/token_type.h"
#include "model/tokenizer_metadata.h"
#include "support/expect_error.h"
#include "support/temp_dir.h"

namespace plasticity {
namespace {

using nlohmann::json;
using test::TempDir;

constexpr std::int32_t kTokens = 274;

/// <unk>, <s>, </s>, the bytes, some letters and pieces: as tokenizer.json of a model converted from SentencePiece.
json tiny_json() {
    json vocab{{"<unk>", 0}, {"<s>", 1}, {"</s>", 2}};
    const auto append = [&](const std::string& token) { vocab[token] = vocab.size(); };
    constexpr std::string_view kHex = "0123456789ABCDEF";
    for (std::size_t byte = 0; byte < 256; ++byte) append(std::string("<0x") + kHex[byte / 16] + kHex[byte % 16] + ">");
    for (const char* token : {"▁t", "he", "▁the", "▁▁", "in", "▁", "t", "h", "e", "i", "n", "é", "▁▁▁"}) append(token);
    const json merges{"▁ t", "h e", "▁t he", "▁ ▁", "i n", "▁▁ ▁", "▁ ▁▁"};
    const auto added = [](int id, const char* text) {
        return json{{"id", id}, {"content", text}, {"special", true}, {"normalized", false}};
    };
    return {{"added_tokens", {added(0, "<unk>"), added(1, "<s>"), added(2, "</s>")}},
            {"normalizer", {{"type", "Replace"}, {"pattern", {{"String", " "}}}, {"content", "▁"}}},
            {"pre_tokenizer", nullptr},
            {"model",
             {{"type", "BPE"}, {"unk_token", "<unk>"}, {"byte_fallback", true}, {"vocab", vocab}, {"merges", merges}}}};
}

GgufMetadata read_pieces(const json& tokenizer, const json& config = json::object(), std::int32_t n_vocab = kTokens) {
    const TempDir dir;
    write_text_file(dir / "tokenizer.json", tokenizer.dump(), Overwrite::kRefuse);
    write_text_file(dir / "tokenizer_config.json", config.dump(), Overwrite::kRefuse);
    return read_hf_tokenizer(dir.path(), n_vocab);
}

TEST(SentencePiece, BecomesTheLlamaModelOfGguf) {
    const GgufMetadata metadata = read_pieces(tiny_json(), {{"bos_token", "<s>"}, {"add_bos_token", true}}, kTokens);
    EXPECT_EQ(metadata.text("tokenizer.ggml.model"), "llama");
    EXPECT_EQ(metadata.integer("tokenizer.ggml.bos_token_id"), 1);
    EXPECT_FALSE(metadata.boolean_or("tokenizer.ggml.add_space_prefix", true));
    EXPECT_FALSE(metadata.contains("tokenizer.ggml.merges"));
    const auto& types = *metadata.array<std::int32_t>("tokenizer.ggml.token_type");
    EXPECT_EQ(types[0], kTokenUnknown);
    EXPECT_EQ(types[1], kTokenControl);
    EXPECT_EQ(types[3], kTokenByte);
    EXPECT_EQ(types[259], kTokenNormal);
    EXPECT_EQ(types[272], kTokenUnused);
}

TEST(SentencePiece, ScoresFollowTheMerges) {
    const auto scores = *read_pieces(tiny_json()).array<float>("tokenizer.ggml.scores");
    const std::vector<float> pieces(scores.begin() + 259, scores.begin() + 264);
    EXPECT_EQ(pieces, (std::vector<float>{0, -1, -2, -3, -4}));  // ▁t, he, ▁the, ▁▁, in
    EXPECT_EQ(scores[271], -5);                                  // ▁▁▁
    EXPECT_LT(scores[264], scores[271]);                         // a letter, which nothing makes
}

void write_pieces(const std::filesystem::path& folder, const HfTokenizerFiles& files) {
    write_text_file(folder / "tokenizer.json", files.tokenizer, Overwrite::kReplace);
    write_text_file(folder / "tokenizer_config.json", files.tokenizer_config, Overwrite::kReplace);
    write_text_file(folder / "generation_config.json", files.generation_config, Overwrite::kReplace);
}

TEST(SentencePiece, GoesToAFolderAndBack) {
    for (const bool prefix : {false, true}) {
        json tokenizer = tiny_json();
        const json replace = tokenizer["normalizer"];
        if (prefix)
            tokenizer["normalizer"] = {{"type", "Sequence"},
                                       {"normalizers", {{{"type", "Prepend"}, {"prepend", "▁"}}, replace}}};
        const GgufMetadata original =
            read_pieces(tokenizer, {{"bos_token", "<s>"}, {"eos_token", "</s>"}, {"unk_token", "<unk>"}});
        EXPECT_EQ(original.boolean_or("tokenizer.ggml.add_space_prefix", !prefix), prefix);
        const TempDir dir;
        write_pieces(dir.path(), write_hf_tokenizer(original));
        const GgufMetadata again = read_hf_tokenizer(dir.path(), kTokens);
        ASSERT_EQ(again.entries().size(), original.entries().size());
        for (const auto& [key, value] : original.entries()) EXPECT_TRUE(*again.find(key) == value) << key;
    }
}

TEST(SentencePiece, MergesComeBackInTheirOrder) {
    const json written = json::parse(write_hf_tokenizer(read_pieces(tiny_json())).tokenizer);
    EXPECT_EQ(written["model"]["merges"], tiny_json()["model"]["merges"]);
    EXPECT_EQ(written["model"]["unk_token"], "<unk>");
    EXPECT_EQ(written["normalizer"], tiny_json()["normalizer"]);
}

// Stock files hold Gemma's runs of spaces as user-defined tokens spelt with spaces, found before pieces are joined.
TEST(SentencePiece, TokensOfSpacesAreNoPieces) {
    GgufMetadata metadata = read_pieces(tiny_json());
    auto tokens = *metadata.array<std::string>("tokenizer.ggml.tokens");
    auto types = *metadata.array<std::int32_t>("tokenizer.ggml.token_type");
    tokens[262] = "  ";
    tokens[271] = "   ";
    types[262] = types[271] = kTokenUserDefined;
    metadata.set("tokenizer.ggml.tokens", GgufArray(tokens));
    metadata.set("tokenizer.ggml.token_type", GgufArray(types));
    const json written = json::parse(write_hf_tokenizer(metadata).tokenizer);
    EXPECT_EQ(written["model"]["merges"], json({"▁ t", "h e", "▁t he", "i n"}));
    EXPECT_EQ(written["added_tokens"].back()["content"], "   ");
    const TempDir dir;
    write_pieces(dir.path(), write_hf_tokenizer(metadata));
    EXPECT_EQ(*read_hf_tokenizer(dir.path(), kTokens).array<std::string>("tokenizer.ggml.tokens"), tokens);
}

TEST(SentencePiece, AddedTokensOfSpaces) {
    json tokenizer = tiny_json();
    tokenizer["added_tokens"].push_back({{"id", 262}, {"content", "▁▁"}, {"special", false}, {"normalized", false}});
    tokenizer["added_tokens"].push_back({{"id", 272}, {"content", "▁x▁"}, {"special", false}, {"normalized", true}});
    tokenizer["added_tokens"].push_back({{"id", 273}, {"content", "▁y"}, {"special", false}, {"normalized", false}});
    const GgufMetadata metadata = read_pieces(tokenizer);
    const auto& tokens = *metadata.array<std::string>("tokenizer.ggml.tokens");
    const auto& types = *metadata.array<std::int32_t>("tokenizer.ggml.token_type");
    EXPECT_EQ(types[262], kTokenNormal);  // merges reach it
    EXPECT_EQ(types[272], kTokenUserDefined);
    EXPECT_EQ(tokens[272], " x ");  // found in normalised text, where the marks are
    EXPECT_EQ(tokens[273], "▁y");   // found in the text as it is
}

TEST(SentencePiece, KnowsMetaspaceThatDoesNotSplit) {
    json tokenizer = tiny_json();
    tokenizer["normalizer"] = nullptr;
    for (const auto& [scheme, prefix] : {std::pair{"always", true}, {"first", true}, {"never", false}}) {
        tokenizer["pre_tokenizer"] = {
            {"type", "Metaspace"}, {"replacement", "▁"}, {"prepend_scheme", scheme}, {"split", false}};
        EXPECT_EQ(recognise_sentencepiece(tokenizer).add_space_prefix, prefix) << scheme;
    }
    tokenizer["pre_tokenizer"]["split"] = true;
    EXPECT_THROW(recognise_sentencepiece(tokenizer), Error);
}

struct SpoiledPieces {
    const char* name;
    std::function<void(json&)> spoil;
    const char* expected;
};

class SpoiledSentencePiece : public testing::TestWithParam<SpoiledPieces> {};

TEST_P(SpoiledSentencePiece, SaysWhatIsWrong) {
    json tokenizer = tiny_json();
    GetParam().spoil(tokenizer);
    test::expect_error(ErrorKind::kMalformed, {GetParam().expected}, [&] { read_pieces(tokenizer); });
}

std::vector<SpoiledPieces> spoiled_pieces() {
    return {
        {"NoNormalizer", [](json& t) { t["normalizer"] = nullptr; }, "normalizer none with pre_tokenizer none"},
        {"Lowercase", [](json& t) { t["normalizer"]["type"] = "Lowercase"; }, "Lowercase"},
        {"OtherPreTokenizer", [](json& t) { t["pre_tokenizer"] = {{"type", "Whitespace"}}; }, "Whitespace"},
        {"IgnoredMerges", [](json& t) { t["model"]["ignore_merges"] = true; }, "ignore_merges with byte_fallback"},
        {"MissingByte", [](json& t) { t["model"]["vocab"].erase("<0x7F>"); }, "no token <0x7F>"},
        {"UnknownIsNoToken", [](json& t) { t["model"]["unk_token"] = "zz"; }, "model.unk_token: 'zz' is no token"},
        {"SplitWithoutMerge", [](json& t) { t["model"]["merges"].erase(6); }, "got 1 merges"},
        {"MergeTwice", [](json& t) { t["model"]["merges"].push_back("h e"); }, "got 2 merges that make 'he'"},
        {"LongToken", [](json& t) { t["model"]["vocab"][std::string(600, 'x')] = 272; }, "600 bytes"},
    };
}

INSTANTIATE_TEST_SUITE_P(Malformed, SpoiledSentencePiece, testing::ValuesIn(spoiled_pieces()),
                         [](const auto& each) { return std::string(each.param.name); });

TEST(SentencePiece, RefusesScoresThatGiveNoOrder) {
    GgufMetadata metadata = read_pieces(tiny_json());
    metadata.set("tokenizer.ggml.scores", GgufArray(std::vector<float>(3)));
    EXPECT_THROW(write_hf_tokenizer(metadata), Error);
    metadata.set("tokenizer.ggml.scores", GgufArray(std::vector<float>(kTokens, std::nanf(""))));
    EXPECT_THROW(write_hf_tokenizer(metadata), Error);
    metadata.erase("tokenizer.ggml.scores");
    EXPECT_THROW(write_hf_tokenizer(metadata), Error);
}

TEST(PieceScores, OfEqualScoresTheLongerComesFirst) {
    const std::array<std::string, 4> tokens{"a", "aa", "aaa", "b"};
    const std::array<float, 4> scores{};
    EXPECT_EQ(merges_of_scores(scores, tokens), (std::vector<Merge>{{1, 0, 2}, {0, 1, 2}, {0, 0, 1}}));
}

}  // namespace
}  // namespace plasticity
