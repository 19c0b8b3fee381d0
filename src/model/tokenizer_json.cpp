#include "model/tokenizer_json.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>
#include <unordered_map>

#include "core/error.h"
#include "io/printable.h"
#include "model/piece_scores.h"
#include "model/pre_tokenizer.h"
#include "model/sentencepiece_form.h"
#include "model/token_type.h"

namespace plasticity {
namespace {

using nlohmann::ordered_json;

const std::vector<std::string>& required_texts(const GgufMetadata& metadata, std::string_view key) {
    const auto* values = metadata.array<std::string>(key);
    if (!values) throw Error(ErrorKind::kMalformed, fmt::format("{}: absent; the model has no tokenizer", key));
    return *values;
}

/// A string as JSON. @throws Error (kMalformed) for bytes that are not UTF-8
std::string json_string(std::string_view text) {
    try {
        return ordered_json(text).dump();
    } catch (const nlohmann::json::exception&) {
        throw Error(ErrorKind::kMalformed,
                    fmt::format("tokenizer: {} is not UTF-8, which JSON needs", printable(text)));
    }
}

std::string vocabulary_text(const GgufTokens& tokens) {
    std::string text;
    for (std::size_t id = 0; id < tokens.texts.size(); ++id) {
        if (tokens.is_padding(id)) continue;
        text += fmt::format("{}\n      {}: {}", text.empty() ? "" : ",", json_string(tokens.texts[id]), id);
    }
    return text;
}

std::vector<Merge> stored_merges(const GgufMetadata& metadata, const GgufTokens& tokens) {
    std::unordered_map<std::string_view, std::int32_t> ids;
    for (std::size_t id = 0; id < tokens.texts.size(); ++id)
        ids.emplace(tokens.texts[id], static_cast<std::int32_t>(id));
    const auto id_of = [&](std::string_view text) {
        const auto known = ids.find(text);
        return known == ids.end() ? -1 : known->second;
    };
    std::vector<Merge> merges;
    for (const std::string& merge : required_texts(metadata, "tokenizer.ggml.merges")) {
        const std::size_t space = merge.find(' ', 1);
        const std::string left = merge.substr(0, space);
        const std::string right = space == std::string::npos ? "" : merge.substr(space + 1);
        const Merge joined{id_of(left), id_of(right), id_of(left + right)};
        if (joined.left < 0 || joined.right < 0 || joined.whole < 0)
            throw Error(ErrorKind::kMalformed,
                        fmt::format("tokenizer.ggml.merges: {} does not join tokens to a token", printable(merge)));
        merges.push_back(joined);
    }
    return merges;
}

std::vector<Merge> merges_by_score(const GgufMetadata& metadata, const GgufTokens& tokens) {
    const auto* scores = metadata.array<float>("tokenizer.ggml.scores");
    if (!scores || scores->size() != tokens.texts.size())
        throw Error(ErrorKind::kMalformed,
                    fmt::format("tokenizer.ggml.scores: got {} entries; expected one for each of the {} tokens",
                                scores ? scores->size() : 0, tokens.texts.size()));
    return merges_of_scores(*scores, tokens.texts);
}

std::string merges_text(const GgufMetadata& metadata, const GgufTokens& tokens) {
    const std::vector<Merge> merges =
        tokens.is_sentencepiece ? merges_by_score(metadata, tokens) : stored_merges(metadata, tokens);
    const auto text_of = [&](std::int32_t id) -> const std::string& {
        return tokens.texts[static_cast<std::size_t>(id)];
    };
    std::string text;
    for (const Merge& merge : merges)
        text += fmt::format("{}\n      {}", text.empty() ? "" : ",",
                            json_string(text_of(merge.left) + " " + text_of(merge.right)));
    return text;
}

std::string added_tokens_text(const GgufTokens& tokens) {
    std::string text;
    for (std::size_t id = 0; id < tokens.texts.size(); ++id) {
        if (!tokens.is_added(id)) continue;
        text +=
            fmt::format(R"({}{{"id": {}, "content": {}, "single_word": false, "lstrip": false, "rstrip": false, )"
                        R"("normalized": false, "special": {}}})",
                        text.empty() ? "\n    " : ",\n    ", id, json_string(tokens.texts[id]), tokens.is_special(id));
    }
    return text;
}

/// What stands around every text.
struct Around {
    std::optional<std::size_t> first;
    std::optional<std::size_t> last;
};

Around tokens_around(const GgufMetadata& metadata, const GgufTokens& tokens) {
    Around around;
    if (adds_bos(metadata, tokens)) around.first = special_id(metadata, tokens, {"bos", "bos"});
    if (metadata.boolean_or("tokenizer.ggml.add_eos_token", false))
        around.last = special_id(metadata, tokens, {"eos", "eos"});
    return around;
}

ordered_json template_processing(const GgufTokens& tokens, const Around& around) {
    ordered_json special_tokens = ordered_json::object();
    const auto special = [&](std::size_t id, int sequence) {
        const std::string& text = tokens.texts[id];
        special_tokens[text] = {{"id", text}, {"ids", {id}}, {"tokens", {text}}};
        return ordered_json{{"SpecialToken", {{"id", text}, {"type_id", sequence}}}};
    };
    const auto append = [&](ordered_json& pieces, std::string_view name, int sequence) {
        if (around.first) pieces.push_back(special(*around.first, sequence));
        pieces.push_back({{"Sequence", {{"id", name}, {"type_id", sequence}}}});
        if (around.last) pieces.push_back(special(*around.last, sequence));
    };
    ordered_json single = ordered_json::array();
    append(single, "A", 0);
    ordered_json pair = single;
    append(pair, "B", 1);
    return {{"type", "TemplateProcessing"}, {"single", single}, {"pair", pair}, {"special_tokens", special_tokens}};
}

std::string post_processor_text(const GgufTokens& tokens, const Around& around) {
    const bool adds_tokens = around.first || around.last;
    if (tokens.is_sentencepiece) return adds_tokens ? template_processing(tokens, around).dump() : "null";
    const ordered_json byte_level{
        {"type", "ByteLevel"}, {"add_prefix_space", true}, {"trim_offsets", false}, {"use_regex", true}};
    if (!adds_tokens) return byte_level.dump();
    return ordered_json{{"type", "Sequence"}, {"processors", {byte_level, template_processing(tokens, around)}}}.dump();
}

/// What the two kinds of tokenizer write differently.
struct KindTexts {
    std::string normalizer;
    std::string pre_tokenizer;
    std::string decoder;
    std::string unknown_token = "null";
    bool ignore_merges = false;
};

KindTexts kind_texts(const GgufMetadata& metadata, const GgufTokens& tokens) {
    if (!tokens.is_sentencepiece) {
        PreTokenizerForm form = form_of_pre_tokenizer(metadata.text_or("tokenizer.ggml.pre", "default"));
        return {
            .normalizer = std::move(form.normalizer),
            .pre_tokenizer = std::move(form.pre_tokenizer),
            .decoder = R"({"type": "ByteLevel", "add_prefix_space": true, "trim_offsets": true, "use_regex": true})",
            .ignore_merges = form.ignore_merges};
    }
    // Stock llama.cpp adds the space unless told otherwise.
    SentencePieceJson form =
        json_of_sentencepiece({.add_space_prefix = metadata.boolean_or("tokenizer.ggml.add_space_prefix", true)});
    const std::optional<std::size_t> unknown = special_id(metadata, tokens, {"unknown", "unk"});
    return {.normalizer = std::move(form.normalizer),
            .pre_tokenizer = std::move(form.pre_tokenizer),
            .decoder = std::move(form.decoder),
            .unknown_token = unknown ? json_string(tokens.texts[*unknown]) : "null"};
}

}  // namespace

GgufTokens::GgufTokens(const GgufMetadata& metadata) : texts(required_texts(metadata, "tokenizer.ggml.tokens")) {
    const std::string model = metadata.text_or("tokenizer.ggml.model", "none");
    if (model != "gpt2" && model != "llama")
        throw Error(
            ErrorKind::kUsage,
            fmt::format("tokenizer.ggml.model: got {}; expected one that can be written as tokenizer.json: gpt2 "
                        "(byte-level BPE) or llama (as SentencePiece)",
                        printable(model)));
    is_sentencepiece = model == "llama";
    if (const auto* stored = metadata.array<std::int32_t>("tokenizer.ggml.token_type")) types = *stored;
    types.resize(texts.size(), kTokenNormal);
}

bool GgufTokens::is_padding(std::size_t id) const {
    return types[id] == kTokenUnused && texts[id] == fmt::format("[PAD{}]", id);
}
bool GgufTokens::is_special(std::size_t id) const {
    return types[id] == kTokenControl || types[id] == kTokenUnknown;
}
bool GgufTokens::is_added(std::size_t id) const {
    return is_special(id) || types[id] == kTokenUserDefined;
}

std::optional<std::size_t> special_id(const GgufMetadata& metadata, const GgufTokens& tokens,
                                      const SpecialTokenName& name) {
    // Source: llama.cpp, src/llama-vocab.cpp (llama_vocab::impl::load).
    const std::int64_t stock = !tokens.is_sentencepiece ? -1
                               : name.gguf == "unknown" ? 0
                               : name.gguf == "bos"     ? 1
                               : name.gguf == "eos"     ? 2
                                                        : -1;
    const std::int64_t id = metadata.integer_or(name.key(), stock);
    if (id < 0 || std::cmp_greater_equal(id, tokens.texts.size())) return std::nullopt;
    return static_cast<std::size_t>(id);
}

bool adds_bos(const GgufMetadata& metadata, const GgufTokens& tokens) {
    const bool stock =
        tokens.is_sentencepiece || form_of_pre_tokenizer(metadata.text_or("tokenizer.ggml.pre", "default")).adds_bos;
    return metadata.boolean_or("tokenizer.ggml.add_bos_token", stock);
}

std::string tokenizer_json_text(const GgufMetadata& metadata, const GgufTokens& tokens) {
    const KindTexts kind = kind_texts(metadata, tokens);
    constexpr std::string_view kHead =
        "{{\n  \"version\": \"1.0\",\n  \"truncation\": null,\n  \"padding\": null,\n  \"added_tokens\": [{}\n  ],\n"
        "  \"normalizer\": {},\n  \"pre_tokenizer\": {},\n  \"post_processor\": {},\n  \"decoder\": {},\n";
    constexpr std::string_view kModel =
        "  \"model\": {{\n    \"type\": \"BPE\",\n    \"dropout\": null,\n    \"unk_token\": {},\n"
        "    \"continuing_subword_prefix\": null,\n    \"end_of_word_suffix\": null,\n    \"fuse_unk\": {},\n"
        "    \"byte_fallback\": {},\n    \"ignore_merges\": {},\n    \"vocab\": {{{}\n    }},\n"
        "    \"merges\": [{}\n    ]\n  }}\n}}\n";
    return fmt::format(kHead, added_tokens_text(tokens), kind.normalizer, kind.pre_tokenizer,
                       post_processor_text(tokens, tokens_around(metadata, tokens)), kind.decoder) +
           fmt::format(kModel, kind.unknown_token, tokens.is_sentencepiece, tokens.is_sentencepiece, kind.ignore_merges,
                       vocabulary_text(tokens), merges_text(metadata, tokens));
}

}  // namespace plasticity
