#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <optional>
#include <unordered_map>

#include "io/atomic_file.h"
#include "io/printable.h"
#include "io/strict_json.h"
#include "model/attempt.h"
#include "model/config_fields.h"
#include "model/pre_tokenizer.h"
#include "model/token_type.h"
#include "model/tokenizer_check.h"
#include "model/tokenizer_metadata.h"

// The mapping follows llama.cpp's converter: conversion/base.py (get_vocab_base) and gguf-py/gguf/vocab.py.

namespace plasticity {
namespace {

using nlohmann::json;

constexpr std::uint64_t kMaxJsonBytes = std::uint64_t{256} << 20;

json parse_file(const std::filesystem::path& path) {
    json parsed = parse_strict_json(read_text_file(path, kMaxJsonBytes), path.string());
    if (!parsed.is_object())
        throw Error(ErrorKind::kMalformed, fmt::format("{}: expected a JSON object", path.string()));
    return parsed;
}

json parse_if_there(const std::filesystem::path& path) {
    return std::filesystem::exists(path) ? parse_file(path) : json::object();
}

/// tokens[id] and its type, filled from tokenizer.json; ids that stay empty become unused tokens.
struct Vocabulary {
    std::vector<std::string> tokens;
    std::vector<std::int32_t> types;
    std::unordered_map<std::string, std::int32_t> ids;

    explicit Vocabulary(std::int32_t n_vocab)
        : tokens(static_cast<std::size_t>(n_vocab)), types(tokens.size(), kTokenUnused) {}

    void add(const std::string& token, const json& id, std::int32_t type) {
        if (!id.is_number_integer() || id < 0 || id >= tokens.size())
            throw Error(ErrorKind::kMalformed, fmt::format("token {}: got id {}; expected one below {}",
                                                           printable(token), id.dump(), tokens.size()));
        const auto place = id.get<std::size_t>();
        const auto [known, is_new] = ids.emplace(token, static_cast<std::int32_t>(place));
        const bool id_taken = types[place] != kTokenUnused && tokens[place] != token;
        if (token.empty() || id_taken || (!is_new && std::cmp_not_equal(known->second, place)))
            throw Error(ErrorKind::kMalformed, fmt::format("token {} with id {}: expected each token and each id once",
                                                           printable(token), place));
        tokens[place] = token;
        types[place] = type;
    }

    void name_unused() {
        for (std::size_t id = 0; id < tokens.size(); ++id)
            if (types[id] == kTokenUnused) tokens[id] = fmt::format("[PAD{}]", id);
    }
};

bool looks_special(std::string_view token) {
    return token.starts_with("<|") && token.ends_with("|>");
}

void read_added_tokens(const json& tokenizer, Vocabulary& vocabulary) {
    const json* added = field(tokenizer, "added_tokens");
    if (!added) return;
    if (!added->is_array()) throw Error(ErrorKind::kMalformed, "added_tokens: expected an array");
    for (const json& token : *added) {
        const json* id = field(token, "id");
        const std::optional<std::string> content = text_field(token, "content");
        if (!id || !content) throw Error(ErrorKind::kMalformed, "added_tokens: expected objects with id and content");
        for (const std::string_view rule : {"lstrip", "rstrip", "single_word"})
            if (boolean_field(token, rule).value_or(false))
                throw Error(ErrorKind::kMalformed,
                            fmt::format("added token {}: {} has no counterpart in GGUF", printable(*content), rule));
        const bool is_control = boolean_field(token, "special").value_or(false) || looks_special(*content);
        vocabulary.add(*content, *id, is_control ? kTokenControl : kTokenUserDefined);
    }
}

void require_byte_level_bpe(const json& model) {
    const std::string type = text_field(model, "type").value_or("BPE");
    const bool has_affixes = !text_field(model, "continuing_subword_prefix").value_or("").empty() ||
                             !text_field(model, "end_of_word_suffix").value_or("").empty();
    if (type != "BPE" || has_affixes || boolean_field(model, "byte_fallback").value_or(false) ||
        field(model, "dropout"))
        throw Error(ErrorKind::kMalformed,
                    fmt::format("model: got {}{}; expected byte-level BPE without affixes, byte fallback and dropout",
                                printable(type), has_affixes ? " with affixes" : ""));
}

Vocabulary read_vocabulary(const json& tokenizer, const json& model, std::int32_t n_vocab) {
    const json* vocab = field(model, "vocab");
    if (!vocab || !vocab->is_object()) throw Error(ErrorKind::kMalformed, "model.vocab: expected an object");
    Vocabulary vocabulary(n_vocab);
    for (const auto& [token, id] : vocab->items()) vocabulary.add(token, id, kTokenNormal);
    read_added_tokens(tokenizer, vocabulary);
    vocabulary.name_unused();
    return vocabulary;
}

std::pair<std::string, std::string> read_merge(const json& merge) {
    if (merge.is_array() && merge.size() == 2 && merge[0].is_string() && merge[1].is_string())
        return {merge[0].get<std::string>(), merge[1].get<std::string>()};
    if (merge.is_string()) {
        const auto text = merge.get<std::string>();
        const std::size_t space = text.find(' ');
        if (space != std::string::npos) return {text.substr(0, space), text.substr(space + 1)};
    }
    throw Error(ErrorKind::kMalformed, R"(model.merges: expected "a b" or ["a", "b"])");
}

std::vector<std::string> read_merges(const json& model, const Vocabulary& vocabulary) {
    const json* list = field(model, "merges");
    if (!list || !list->is_array()) throw Error(ErrorKind::kMalformed, "model.merges: expected an array");
    std::vector<std::string> merges;
    merges.reserve(list->size());
    for (const json& merge : *list) {
        const auto [left, right] = read_merge(merge);
        const bool has_space = (left + right).find(' ') != std::string::npos;  // bytes are spelt without it
        if (has_space || !vocabulary.ids.contains(left) || !vocabulary.ids.contains(right) ||
            !vocabulary.ids.contains(left + right))
            throw Error(ErrorKind::kMalformed, fmt::format("model.merges: {} + {} do not join tokens to a token",
                                                           printable(left), printable(right)));
        merges.push_back(fmt::format("{} {}", left, right));
    }
    return merges;
}

/// "tok" or {"content": "tok", …}.
std::optional<std::string> token_field(const json& config, const std::string& key) {
    const json* value = field(config, key);
    if (value && value->is_object()) return text_field(*value, "content");
    return text_field(config, key);
}

/// Ids may be a list, the first being the main one.
std::optional<std::int32_t> id_field(const json& config, const std::string& key) {
    const json* value = field(config, key);
    if (value && value->is_array())
        return value->empty() ? std::nullopt : integer_field(json{{key, value->front()}}, key);
    return integer_field(config, key);
}

struct FolderConfigs {
    json tokenizer_config;
    json generation_config;
    json config;
};

std::optional<std::int32_t> read_special_id(const FolderConfigs& configs, const SpecialTokenName& name,
                                            const Vocabulary& vocabulary) {
    const std::string key = fmt::format("{}_token", name.hf);
    if (const auto token = token_field(configs.tokenizer_config, key)) {
        const auto known = vocabulary.ids.find(*token);
        if (known == vocabulary.ids.end())
            throw Error(ErrorKind::kMalformed,
                        fmt::format("tokenizer_config.json: {} is {}, which is no token", key, printable(*token)));
        return known->second;
    }
    for (const json* config : {&configs.generation_config, &configs.config})
        if (const auto id = id_field(*config, key + "_id")) {
            if (*id < 0 || std::cmp_greater_equal(*id, vocabulary.tokens.size()))
                throw Error(ErrorKind::kMalformed,
                            fmt::format("{}_id: got {}; expected an id below {}", key, *id, vocabulary.tokens.size()));
            return id;
        }
    return std::nullopt;
}

struct AddedAround {
    std::optional<std::string> first;  ///< token that the post-processor puts before a text
    std::optional<std::string> last;   ///< … and behind it
};

AddedAround read_post_processor(const json& tokenizer) {
    AddedAround around;
    const json* post_processor = field(tokenizer, "post_processor");
    if (!post_processor) return around;
    const json* inner = field(*post_processor, "processors");
    const json processors = inner && inner->is_array() ? *inner : json::array({*post_processor});
    for (const json& processor : processors) {
        const std::string type = text_field(processor, "type").value_or("without a type");
        if (type == "ByteLevel") continue;
        const json* single = field(processor, "single");
        if (type != "TemplateProcessing" || !single || !single->is_array())
            throw Error(
                ErrorKind::kMalformed,
                fmt::format("post_processor: got {}; expected ByteLevel or TemplateProcessing", printable(type)));
        bool past_text = false;
        for (const json& piece : *single)
            if (const json* special = field(piece, "SpecialToken"))
                (past_text ? around.last : around.first) = text_field(*special, "id");
            else
                past_text = true;
    }
    return around;
}

void write_special_tokens(const FolderConfigs& configs, const json& tokenizer, const Vocabulary& vocabulary,
                          GgufMetadata& metadata) {
    const AddedAround around = read_post_processor(tokenizer);
    for (const SpecialTokenName& name : special_token_names()) {
        std::optional<std::int32_t> id = read_special_id(configs, name, vocabulary);
        const std::optional<std::string>& added = name.gguf == "bos"   ? around.first
                                                  : name.gguf == "eos" ? around.last
                                                                       : std::nullopt;
        if (added) {
            const auto known = vocabulary.ids.find(*added);
            if (known == vocabulary.ids.end() || (id && *id != known->second))
                throw Error(ErrorKind::kMalformed,
                            fmt::format("post_processor: adds {}; expected the {} token", printable(*added), name.hf));
            id = known->second;
        }
        if (id) metadata.set(name.key(), static_cast<std::uint32_t>(*id));
    }
    const auto adds = [&](std::string_view key, bool by_processor) {
        return boolean_field(configs.tokenizer_config, key).value_or(by_processor);
    };
    metadata.set("tokenizer.ggml.add_bos_token", adds("add_bos_token", around.first.has_value()));
    if (adds("add_eos_token", around.last.has_value())) metadata.set("tokenizer.ggml.add_eos_token", true);
    if (const auto prefix = boolean_field(configs.tokenizer_config, "add_prefix_space"))
        metadata.set("tokenizer.ggml.add_space_prefix", *prefix);
}

/// A file of its own wins, as in transformers; of several named templates the default one counts.
std::optional<std::string> read_chat_template(const std::filesystem::path& folder, const json& tokenizer_config) {
    if (const auto path = folder / "chat_template.jinja"; std::filesystem::exists(path))
        return read_text_file(path, kMaxJsonBytes);
    if (const auto path = folder / "chat_template.json"; std::filesystem::exists(path))
        return text_field(parse_file(path), "chat_template");
    const json* stored = field(tokenizer_config, "chat_template");
    if (!stored || !stored->is_array()) return text_field(tokenizer_config, "chat_template");
    for (const json& named : *stored)
        if (text_field(named, "name") == "default") return text_field(named, "template");
    return std::nullopt;
}

GgufMetadata convert(const json& tokenizer, const std::filesystem::path& folder, std::int32_t n_vocab) {
    const json* model = field(tokenizer, "model");
    if (!model || !model->is_object()) throw Error(ErrorKind::kMalformed, "model: expected an object");
    require_byte_level_bpe(*model);
    const std::string pre = recognise_pre_tokenizer(tokenizer);
    Vocabulary vocabulary = read_vocabulary(tokenizer, *model, n_vocab);
    std::vector<std::string> merges = read_merges(*model, vocabulary);

    GgufMetadata metadata;
    metadata.set("tokenizer.ggml.model", std::string("gpt2"));
    metadata.set("tokenizer.ggml.pre", pre);
    metadata.set("tokenizer.ggml.tokens", GgufArray(vocabulary.tokens));
    metadata.set("tokenizer.ggml.token_type", GgufArray(vocabulary.types));
    metadata.set("tokenizer.ggml.merges", GgufArray(std::move(merges)));
    const FolderConfigs configs{parse_if_there(folder / "tokenizer_config.json"),
                                parse_if_there(folder / "generation_config.json"),
                                parse_if_there(folder / "config.json")};
    write_special_tokens(configs, tokenizer, vocabulary, metadata);
    if (auto chat_template = read_chat_template(folder, configs.tokenizer_config))
        metadata.set("tokenizer.chat_template", std::move(*chat_template));
    return metadata;
}

}  // namespace

GgufMetadata read_hf_tokenizer(const std::filesystem::path& folder, std::int32_t n_vocab) {
    const std::filesystem::path path = folder / "tokenizer.json";
    const json tokenizer = parse_file(path);
    try {
        return convert(tokenizer, folder, n_vocab);
    } catch (const Error& error) {
        throw Error(error.kind(), fmt::format("{}: {}", path.string(), error.what()));
    }
}

}  // namespace plasticity
