#include "model/tokenizer_metadata.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <functional>
#include <nlohmann/json.hpp>

#include "core/error.h"
#include "io/atomic_file.h"
#include "model/token_type.h"
#include "support/expect_error.h"
#include "support/temp_dir.h"
#include "support/tiny_model.h"

namespace plasticity {
namespace {

using nlohmann::json;
using test::kTinyVocabulary;
using test::TempDir;

void write_folder(const std::filesystem::path& folder, const HfTokenizerFiles& files) {
    write_text_file(folder / "tokenizer.json", files.tokenizer, Overwrite::kReplace);
    write_text_file(folder / "tokenizer_config.json", files.tokenizer_config, Overwrite::kReplace);
    write_text_file(folder / "generation_config.json", files.generation_config, Overwrite::kReplace);
}

json parsed_tokenizer(std::string_view pre = "smollm") {
    return json::parse(write_hf_tokenizer(test::tiny_tokenizer(pre)).tokenizer);
}

/// Reads a folder that holds this tokenizer.json (and tokenizer_config.json).
GgufMetadata read(const json& tokenizer, const json& config = json::object(), std::int32_t n_vocab = kTinyVocabulary) {
    const TempDir dir;
    write_text_file(dir / "tokenizer.json", tokenizer.dump(), Overwrite::kRefuse);
    write_text_file(dir / "tokenizer_config.json", config.dump(), Overwrite::kRefuse);
    return read_hf_tokenizer(dir.path(), n_vocab);
}

void expect_equal(const GgufMetadata& got, const GgufMetadata& expected) {
    for (const auto& [key, value] : expected.entries()) {
        const GgufValue* found = got.find(key);
        ASSERT_TRUE(found) << key;
        EXPECT_TRUE(*found == value) << key;
    }
    EXPECT_EQ(got.entries().size(), expected.entries().size());
}

class TokenizerRoundTrip : public testing::TestWithParam<const char*> {};

TEST_P(TokenizerRoundTrip, GivesTheSameKeys) {
    const TempDir dir;
    const GgufMetadata original = test::tiny_tokenizer(GetParam());
    write_folder(dir.path(), write_hf_tokenizer(original));
    expect_equal(read_hf_tokenizer(dir.path(), kTinyVocabulary), original);
}

INSTANTIATE_TEST_SUITE_P(PreTokenizers, TokenizerRoundTrip,
                         testing::Values("qwen2", "smollm", "llama-bpe", "gpt-2", "deepseek-llm", "deepseek-coder",
                                         "deepseek-v3"));

TEST(TokenizerRoundTripOf, OtherNamesOfTheSameSplitting) {
    const TempDir dir;
    write_folder(dir.path(), write_hf_tokenizer(test::tiny_tokenizer("starcoder")));
    EXPECT_EQ(read_hf_tokenizer(dir.path(), kTinyVocabulary).text("tokenizer.ggml.pre"), "smollm");
}

TEST(TokenizerRoundTripOf, EverySpecialTokenAndSwitch) {
    const TempDir dir;
    GgufMetadata original = test::tiny_tokenizer("qwen2");
    for (const char* name : {"eot", "unknown", "seperator", "mask", "fim_pre", "fim_suf"})
        original.set(std::string("tokenizer.ggml.") + name + "_token_id", std::uint32_t{262});
    original.set("tokenizer.ggml.add_bos_token", true);
    original.set("tokenizer.ggml.add_eos_token", true);
    original.set("tokenizer.ggml.add_space_prefix", false);
    write_folder(dir.path(), write_hf_tokenizer(original));
    expect_equal(read_hf_tokenizer(dir.path(), kTinyVocabulary), original);
}

TEST(TokenizerRoundTripOf, RowsBeyondTheTokenizer) {
    const TempDir dir;
    write_folder(dir.path(), write_hf_tokenizer(test::tiny_tokenizer()));
    const GgufMetadata padded = read_hf_tokenizer(dir.path(), kTinyVocabulary + 2);
    const auto& tokens = *padded.array<std::string>("tokenizer.ggml.tokens");
    EXPECT_EQ(tokens.size(), 266u);
    EXPECT_EQ(tokens.back(), "[PAD265]");
    EXPECT_EQ(padded.array<std::int32_t>("tokenizer.ggml.token_type")->back(), kTokenUnused);

    const HfTokenizerFiles files = write_hf_tokenizer(padded);
    EXPECT_EQ(files.tokenizer.find("[PAD265]"), std::string::npos);
    write_folder(dir.path(), files);
    expect_equal(read_hf_tokenizer(dir.path(), kTinyVocabulary + 2), padded);
}

TEST(ReadHfTokenizer, TakesMergesAsStringsAndAsPairs) {
    const json tokenizer = parsed_tokenizer();
    json pairs = tokenizer;
    for (json& merge : pairs["model"]["merges"]) {
        const auto text = merge.get<std::string>();
        const std::size_t space = text.find(' ');
        merge = {text.substr(0, space), text.substr(space + 1)};
    }
    const auto key = "tokenizer.ggml.merges";
    EXPECT_EQ(*read(pairs).array<std::string>(key), *read(tokenizer).array<std::string>(key));
}

TEST(ReadHfTokenizer, RecognisesOtherSpellingsOfTheSame) {
    json tokenizer = parsed_tokenizer("qwen2");
    tokenizer["normalizer"] = {{"type", "Sequence"}, {"normalizers", json::array()}};
    json& split = tokenizer["pre_tokenizer"]["pretokenizers"][0];
    split["behavior"] = "Removed";
    split["invert"] = true;
    tokenizer["pre_tokenizer"]["pretokenizers"][1]["trim_offsets"] = false;
    EXPECT_EQ(read(tokenizer).text("tokenizer.ggml.pre"), "qwen2");

    json line_ends = parsed_tokenizer("deepseek-coder");
    line_ends["pre_tokenizer"]["pretokenizers"][0]["pattern"]["Regex"] = "[\r\n]";  // the two characters themselves
    EXPECT_EQ(read(line_ends).text("tokenizer.ggml.pre"), "deepseek-coder");
}

TEST(ReadHfTokenizer, LeavesOutAddedTokensBeyondTheEmbedding) {
    json tokenizer = parsed_tokenizer();
    tokenizer["added_tokens"].push_back({{"id", 264}, {"content", "<image>"}, {"special", true}});
    EXPECT_EQ(read(tokenizer).array<std::string>("tokenizer.ggml.tokens")->size(), 264u);
    EXPECT_THROW(read(tokenizer, {{"eos_token", "<image>"}}), Error);            // an end that never comes
    EXPECT_THROW(read(tokenizer, {{"chat_template", "{{'<image>'}}"}}), Error);  // text without weights
    for (int id = 265; id < 600; ++id)
        tokenizer["added_tokens"].push_back({{"id", id}, {"content", fmt::format("<{}>", id)}});
    EXPECT_THROW(read(tokenizer), Error);  // another model's tokenizer
}

TEST(ReadHfTokenizer, OfSeveralEndsTheOneOfATurnIsEot) {
    const auto eot_of = [](const char* generation_config) {
        const TempDir dir;
        write_text_file(dir / "tokenizer.json", parsed_tokenizer().dump(), Overwrite::kRefuse);
        write_text_file(dir / "generation_config.json", generation_config, Overwrite::kRefuse);
        return read_hf_tokenizer(dir.path(), kTinyVocabulary).integer_or("tokenizer.ggml.eot_token_id", -1);
    };
    EXPECT_EQ(eot_of(R"({"eos_token_id": [261, 263]})"), 263);  // <|im_end|>
    EXPECT_EQ(eot_of(R"({"eos_token_id": [261, 262]})"), 262);  // the one that is not eos
    EXPECT_EQ(eot_of(R"({"eos_token_id": 261})"), -1);
    EXPECT_EQ(eot_of(R"({"eos_token_id": [261]})"), -1);
    EXPECT_THROW(eot_of(R"({"eos_token_id": [261, 264]})"), Error);
    EXPECT_THROW(eot_of(R"({"eos_token_id": [261, "x"]})"), Error);
}

TEST(ReadHfTokenizer, TokensThatLookSpecialAreControlTokens) {
    json tokenizer = parsed_tokenizer();
    int id = 264;
    for (const char* text : {"<｜User｜>", "<unused7>", "<pad>", "<|", "<unused"})
        tokenizer["added_tokens"].push_back({{"id", id++}, {"content", text}, {"special", false}});
    const auto types = *read(tokenizer, json::object(), id).array<std::int32_t>("tokenizer.ggml.token_type");
    EXPECT_EQ(std::vector(types.begin() + 264, types.end()), (std::vector<std::int32_t>{3, 3, 3, 4, 4}));
}

TEST(ReadHfTokenizer, SortsAddedTokensByType) {
    json tokenizer = parsed_tokenizer();
    tokenizer["added_tokens"].push_back({{"id", 264}, {"content", "<tool_call>"}, {"special", false}});
    tokenizer["added_tokens"].push_back({{"id", 265}, {"content", "<|fim_prefix|>"}, {"special", false}});
    const auto types = *read(tokenizer, json::object(), 266).array<std::int32_t>("tokenizer.ggml.token_type");
    EXPECT_EQ(types[0], kTokenNormal);
    EXPECT_EQ(types[262], kTokenControl);
    EXPECT_EQ(types[264], kTokenUserDefined);
    EXPECT_EQ(types[265], kTokenControl);  // as llama.cpp's converter: its looks say so
}

TEST(ReadHfTokenizer, LooksForSpecialTokensInEveryFile) {
    const TempDir dir;
    write_text_file(dir / "tokenizer.json", parsed_tokenizer().dump(), Overwrite::kRefuse);
    write_text_file(dir / "tokenizer_config.json", R"({"bos_token": {"content": "<|im_start|>"}, "pad_token": null})",
                    Overwrite::kRefuse);
    write_text_file(dir / "generation_config.json", R"({"eos_token_id": [263, 261]})", Overwrite::kRefuse);
    write_text_file(dir / "config.json", R"({"bos_token_id": 0, "pad_token_id": 261})", Overwrite::kRefuse);
    const GgufMetadata metadata = read_hf_tokenizer(dir.path(), kTinyVocabulary);
    EXPECT_EQ(metadata.integer("tokenizer.ggml.bos_token_id"), 262);
    EXPECT_EQ(metadata.integer("tokenizer.ggml.eos_token_id"), 263);
    EXPECT_EQ(metadata.integer("tokenizer.ggml.padding_token_id"), 261);
    EXPECT_FALSE(metadata.contains("tokenizer.ggml.unknown_token_id"));
}

TEST(ReadHfTokenizer, TakesTheChatTemplateFromWhereverItIs) {
    const json tokenizer = parsed_tokenizer();
    const json named{
        {"chat_template", {{{"name", "tool"}, {"template", "T"}}, {{"name", "default"}, {"template", "D"}}}}};
    EXPECT_EQ(read(tokenizer, named).text("tokenizer.chat_template"), "D");
    EXPECT_EQ(read(tokenizer, {{"chat_template", "C"}}).text("tokenizer.chat_template"), "C");
    EXPECT_FALSE(read(tokenizer).contains("tokenizer.chat_template"));

    const TempDir dir;
    write_folder(dir.path(), write_hf_tokenizer(test::tiny_tokenizer()));
    write_text_file(dir / "chat_template.jinja", "J", Overwrite::kRefuse);
    EXPECT_EQ(read_hf_tokenizer(dir.path(), kTinyVocabulary).text("tokenizer.chat_template"), "J");
}

TEST(ReadHfTokenizer, NamesAMissingFile) {
    const TempDir dir;
    try {
        read_hf_tokenizer(dir.path(), kTinyVocabulary);
        FAIL();
    } catch (const Error& error) {
        EXPECT_EQ(error.kind(), ErrorKind::kMissing);
    }
}

struct SpoiledTokenizer {
    const char* name;
    std::function<void(json&)> spoil;
    const char* expected;
    std::string pre = "smollm";
};

class ReadSpoiledTokenizer : public testing::TestWithParam<SpoiledTokenizer> {};

TEST_P(ReadSpoiledTokenizer, SaysWhatIsWrong) {
    json tokenizer = parsed_tokenizer(GetParam().pre);
    GetParam().spoil(tokenizer);
    test::expect_error(ErrorKind::kMalformed, {GetParam().expected}, [&] { read(tokenizer); });
}

std::vector<SpoiledTokenizer> spoiled_tokenizers() {
    return {
        {"NoObject", [](json& t) { t = json::array(); }, "expected a JSON object"},
        {"NoModel", [](json& t) { t.erase("model"); }, "model: expected an object"},
        {"Unigram", [](json& t) { t["model"]["type"] = "Unigram"; }, "'Unigram'"},
        {"ByteFallback", [](json& t) { t["model"]["byte_fallback"] = true; }, "byte_fallback"},
        {"Dropout", [](json& t) { t["model"]["dropout"] = 0.1; }, "with dropout"},
        {"Affixes", [](json& t) { t["model"]["end_of_word_suffix"] = "</w>"; }, "with affixes"},
        {"Normalizer", [](json& t) { t["normalizer"] = {{"type", "Lowercase"}}; }, "'Lowercase'"},
        {"NoPreTokenizer", [](json& t) { t["pre_tokenizer"] = nullptr; }, "got none"},
        {"Metaspace", [](json& t) { t["pre_tokenizer"] = {{"type", "Metaspace"}}; }, "Metaspace"},
        {"SpaceInFront", [](json& t) { t["pre_tokenizer"]["pretokenizers"][1]["add_prefix_space"] = true; },
         "with a space in front"},
        {"OtherExpression", [](json& t) { t["pre_tokenizer"]["pretokenizers"][0]["pattern"]["Regex"] = R"(\p{L}+)"; },
         R"(Split(\p{L}+))", "qwen2"},
        {"IgnoredMerges", [](json& t) { t["model"]["ignore_merges"] = true; }, "ignored for whole tokens", "qwen2"},
        {"PostProcessor", [](json& t) { t["post_processor"] = {{"type", "RobertaProcessing"}}; },
         "'RobertaProcessing'"},
        {"VocabularyNoObject", [](json& t) { t["model"]["vocab"] = 3; }, "model.vocab"},
        {"IdBeyondVocabulary", [](json& t) { t["model"]["vocab"]["zz"] = 264; }, "expected one below 264"},
        {"NegativeId", [](json& t) { t["model"]["vocab"]["zz"] = -1; }, "got id '-1'"},
        {"FractionalId", [](json& t) { t["model"]["vocab"]["zz"] = 1.5; }, "got id '1.5'"},
        {"IdTwice", [](json& t) { t["model"]["vocab"]["zz"] = 3; }, "each id once"},
        {"AddedTokenWithOtherId", [](json& t) { t["added_tokens"][0]["id"] = 0; }, "each id once"},
        {"AddedTokenWithoutContent", [](json& t) { t["added_tokens"][0].erase("content"); }, "id and content"},
        {"StrippingToken", [](json& t) { t["added_tokens"][0]["lstrip"] = true; }, "lstrip"},
        {"MergeOfNoToken", [](json& t) { t["model"]["merges"].push_back("zz z"); }, "do not join tokens"},
        {"MergeToNoToken", [](json& t) { t["model"]["merges"].push_back("a b"); }, "do not join tokens"},
        {"MergeOfThree", [](json& t) { t["model"]["merges"].push_back({"a", "b", "c"}); }, "expected \"a b\""},
        {"MergesNoArray", [](json& t) { t["model"]["merges"] = "a b"; }, "model.merges: expected an array"},
    };
}

INSTANTIATE_TEST_SUITE_P(Malformed, ReadSpoiledTokenizer, testing::ValuesIn(spoiled_tokenizers()),
                         [](const auto& spoiled) { return std::string(spoiled.param.name); });

TEST(ReadHfTokenizer, RefusesSpecialTokensOutsideTheVocabulary) {
    EXPECT_THROW(read(parsed_tokenizer(), {{"eos_token", "</s>"}}), Error);
    EXPECT_THROW(read(parsed_tokenizer(), {{"eos_token", 3}}), Error);
}

TEST(WriteHfTokenizer, RefusesOtherKinds) {
    GgufMetadata unigram = test::tiny_tokenizer();
    unigram.set("tokenizer.ggml.model", std::string("t5"));
    GgufMetadata unknown_pre = test::tiny_tokenizer("tekken");
    for (const GgufMetadata& metadata : {unigram, unknown_pre}) try {
            write_hf_tokenizer(metadata);
            ADD_FAILURE();
        } catch (const Error& error) {
            EXPECT_EQ(error.kind(), ErrorKind::kUsage);
        }
}

TEST(WriteHfTokenizer, RefusesTokensThatJsonCannotHold) {
    GgufMetadata metadata = test::tiny_tokenizer();
    auto tokens = *metadata.array<std::string>("tokenizer.ggml.tokens");
    tokens[5] = "\xff\xfe";
    metadata.set("tokenizer.ggml.tokens", GgufArray(tokens));
    EXPECT_THROW(write_hf_tokenizer(metadata), Error);
}

TEST(WriteHfTokenizer, AddsTheTokensAroundATextByTemplate) {
    GgufMetadata metadata = test::tiny_tokenizer("llama-bpe");
    metadata.erase("tokenizer.ggml.add_bos_token");  // stock llama.cpp adds it for this family unless told otherwise
    const json tokenizer = json::parse(write_hf_tokenizer(metadata).tokenizer);
    const json& single = tokenizer["post_processor"]["processors"][1]["single"];
    ASSERT_EQ(single.size(), 2u);
    EXPECT_EQ(single[0]["SpecialToken"]["id"], "<|endoftext|>");
    EXPECT_EQ(tokenizer["model"]["ignore_merges"], true);
}

}  // namespace
}  // namespace plasticity
