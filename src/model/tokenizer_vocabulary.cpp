#include "model/tokenizer_vocabulary.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>
#include <optional>

#include "io/printable.h"
#include "model/config_fields.h"
#include "model/token_type.h"

// The mapping follows llama.cpp's converter: conversion/base.py (get_vocab_base, _create_vocab_sentencepiece).

namespace plasticity {
namespace {

using nlohmann::json;

/// What SentencePiece writes for a space, U+2581.
constexpr std::string_view kSpaceMark = "\u2581";
constexpr std::size_t kMaxLeft = 256;

bool is_between(std::string_view token, std::string_view opening, std::string_view closing) {
    return token.size() >= opening.size() + closing.size() && token.starts_with(opening) && token.ends_with(closing);
}

/// Several models forget to mark their control tokens; llama.cpp's converter goes by their looks.
bool looks_special(std::string_view token) {
    constexpr std::array<std::string_view, 4> kNames{"<pad>", "<mask>", "<2mass>", "[@BOS@]"};
    return std::ranges::find(kNames, token) != kNames.end() || is_between(token, "<|", "|>") ||
           is_between(token, "<｜", "｜>") || is_between(token, "<unused", ">");
}

std::string with_spaces(std::string_view token) {
    std::string text;
    for (std::size_t at = token.find(kSpaceMark); at != std::string_view::npos; at = token.find(kSpaceMark)) {
        text.append(token.substr(0, at)).append(" ");
        token.remove_prefix(at + kSpaceMark.size());
    }
    return text.append(token);
}

class VocabularyReader {
public:
    VocabularyReader(VocabularyKind kind, std::int32_t n_vocab) : kind_(kind) {
        vocabulary_.tokens.resize(static_cast<std::size_t>(n_vocab));
        vocabulary_.types.assign(vocabulary_.tokens.size(), kTokenUnused);
    }

    void read_model(const json& model) {
        const json* vocab = field(model, "vocab");
        if (!vocab || !vocab->is_object()) throw Error(ErrorKind::kMalformed, "model.vocab: expected an object");
        for (const auto& [token, id] : vocab->items()) {
            const std::int64_t place = checked_id(token, id);
            if (std::cmp_greater_equal(place, vocabulary_.tokens.size()))
                throw Error(ErrorKind::kMalformed,
                            fmt::format("token {}: got id {}; expected one below {}, the rows of the embedding",
                                        printable(token), place, vocabulary_.tokens.size()));
            put(token, place, kTokenNormal);
        }
        if (kind_ == VocabularyKind::kByteFallback) set_byte_types();
    }

    void read_added(const json& tokenizer) {
        const json* added = field(tokenizer, "added_tokens");
        if (!added) return;
        if (!added->is_array()) throw Error(ErrorKind::kMalformed, "added_tokens: expected an array");
        for (const json& token : *added) read_added_token(token);
    }

    void set_unknown(const json& model) {
        if (kind_ != VocabularyKind::kByteFallback) return;
        const std::optional<std::string> unknown = text_field(model, "unk_token");
        if (unknown) set_type(vocabulary_.id_of(*unknown, "model.unk_token"), kTokenUnknown);
    }

    Vocabulary finish() {
        for (auto& [id, text] : respelt_) vocabulary_.tokens[static_cast<std::size_t>(id)] = std::move(text);
        for (std::size_t id = 0; id < vocabulary_.tokens.size(); ++id)
            if (vocabulary_.types[id] == kTokenUnused) vocabulary_.tokens[id] = fmt::format("[PAD{}]", id);
        return std::move(vocabulary_);
    }

private:
    static std::int64_t checked_id(const std::string& token, const json& id) {
        const bool fits = id.is_number_unsigned() && id.get<std::uint64_t>() <= std::uint64_t{INT32_MAX};
        if (!fits)
            throw Error(ErrorKind::kMalformed,
                        fmt::format("token {}: got id {}; expected a whole number from 0", printable(token),
                                    printable(id.dump(-1, ' ', true, json::error_handler_t::replace), 60)));
        return id.get<std::int64_t>();
    }

    void set_type(std::int32_t id, std::int32_t type) { vocabulary_.types[static_cast<std::size_t>(id)] = type; }

    void put(const std::string& token, std::int64_t id, std::int32_t type) {
        const auto place = static_cast<std::size_t>(id);
        const auto [known, is_new] = vocabulary_.ids.emplace(token, static_cast<std::int32_t>(id));
        const bool id_taken = vocabulary_.types[place] != kTokenUnused && vocabulary_.tokens[place] != token;
        if (token.empty() || id_taken || known->second != id)
            throw Error(ErrorKind::kMalformed, fmt::format("token {} with id {}: expected each token and each id once",
                                                           printable(token), place));
        vocabulary_.tokens[place] = token;
        vocabulary_.types[place] = type;
    }

    // Stock llama.cpp stops the process when it needs a byte that has no token.
    void set_byte_types() {
        for (int byte = 0; byte < 256; ++byte) {
            const auto known = vocabulary_.ids.find(fmt::format("<0x{:02X}>", byte));
            if (known == vocabulary_.ids.end())
                throw Error(ErrorKind::kMalformed,
                            fmt::format("model.vocab: got no token <0x{:02X}>; expected one for every byte, since "
                                        "byte_fallback is on",
                                        byte));
            set_type(known->second, kTokenByte);
        }
    }

    void read_added_token(const json& token) {
        const json* id = field(token, "id");
        const std::optional<std::string> content = text_field(token, "content");
        if (!id || !content) throw Error(ErrorKind::kMalformed, "added_tokens: expected objects with id and content");
        for (const std::string_view rule : {"lstrip", "rstrip", "single_word"})
            if (boolean_field(token, rule).value_or(false))
                throw Error(ErrorKind::kMalformed,
                            fmt::format("added token {}: {} has no counterpart in GGUF", printable(*content), rule));
        const std::int64_t place = checked_id(*content, *id);
        if (std::cmp_greater_equal(place, vocabulary_.tokens.size())) {
            vocabulary_.left.emplace(*content, static_cast<std::int32_t>(place));
            if (vocabulary_.left.size() <= kMaxLeft) return;
            throw Error(ErrorKind::kMalformed,
                        fmt::format("added_tokens: got more than {} ids beyond the {} rows of the embedding; does the "
                                    "tokenizer belong to this model?",
                                    kMaxLeft, vocabulary_.tokens.size()));
        }
        const bool is_known = vocabulary_.ids.contains(*content);
        const bool is_control = boolean_field(token, "special").value_or(false) || looks_special(*content);
        const bool has_space_mark =
            kind_ == VocabularyKind::kByteFallback && !is_control && content->find(kSpaceMark) != std::string::npos;
        const bool is_normalized = boolean_field(token, "normalized").value_or(!is_control);
        // A run of spaces that merges reach as well needs no rule of its own; as one, it would be shown with marks.
        const bool stays_normal = has_space_mark && is_known && !is_normalized;
        put(*content, place, stays_normal ? kTokenNormal : is_control ? kTokenControl : kTokenUserDefined);
        if (has_space_mark && is_normalized) respelt_.emplace_back(place, with_spaces(*content));
    }

    VocabularyKind kind_;
    Vocabulary vocabulary_;
    std::vector<std::pair<std::int64_t, std::string>> respelt_;  ///< user-defined tokens that stand for spaces
};

std::pair<std::string, std::string> read_merge(const json& merge) {
    if (merge.is_array() && merge.size() == 2 && merge[0].is_string() && merge[1].is_string())
        return {merge[0].get<std::string>(), merge[1].get<std::string>()};
    if (merge.is_string()) {
        const auto& text = merge.get_ref<const std::string&>();
        const std::size_t space = text.find(' ');
        if (space != std::string::npos) return {text.substr(0, space), text.substr(space + 1)};
    }
    throw Error(ErrorKind::kMalformed, R"(model.merges: expected "a b" or ["a", "b"])");
}

}  // namespace

std::int32_t Vocabulary::id_of(const std::string& token, const std::string& where) const {
    if (const auto known = ids.find(token); known != ids.end()) return known->second;
    if (const auto beyond = left.find(token); beyond != left.end())
        throw Error(ErrorKind::kMalformed, fmt::format("{}: {} has id {}, but the embedding has {} rows", where,
                                                       printable(token), beyond->second, tokens.size()));
    throw Error(ErrorKind::kMalformed, fmt::format("{}: {} is no token", where, printable(token)));
}

Vocabulary read_vocabulary(const json& tokenizer, VocabularyKind kind, std::int32_t n_vocab) {
    const json& model = tokenizer.at("model");
    VocabularyReader reader(kind, n_vocab);
    reader.read_model(model);
    reader.read_added(tokenizer);
    reader.set_unknown(model);
    return reader.finish();
}

std::vector<Merge> read_merges(const json& model, const Vocabulary& vocabulary) {
    const json* list = field(model, "merges");
    if (!list || !list->is_array()) throw Error(ErrorKind::kMalformed, "model.merges: expected an array");
    const auto id_of = [&](const std::string& token) {
        const auto known = vocabulary.ids.find(token);
        return known == vocabulary.ids.end() ? -1 : known->second;
    };
    std::vector<Merge> merges;
    merges.reserve(list->size());
    for (const json& merge : *list) {
        const auto [left, right] = read_merge(merge);
        const Merge ids{id_of(left), id_of(right), id_of(left + right)};
        const bool has_space = (left + right).find(' ') != std::string::npos;  // GGUF parts the two by one
        if (has_space || ids.left < 0 || ids.right < 0 || ids.whole < 0)
            throw Error(ErrorKind::kMalformed, fmt::format("model.merges: {} + {} do not join tokens to a token",
                                                           printable(left), printable(right)));
        merges.push_back(ids);
    }
    return merges;
}

}  // namespace plasticity
