#include <fmt/format.h>

#include <nlohmann/json.hpp>
#include <unordered_set>

#include "core/error.h"
#include "io/printable.h"
#include "model/pre_tokenizer.h"
#include "model/token_type.h"
#include "model/tokenizer_check.h"
#include "model/tokenizer_metadata.h"

namespace plasticity {
namespace {

using nlohmann::ordered_json;

/// A string as JSON. @throws Error (kMalformed) for bytes that are not UTF-8
std::string json_string(std::string_view text) {
    try {
        return ordered_json(text).dump();
    } catch (const nlohmann::json::exception&) {
        throw Error(ErrorKind::kMalformed,
                    fmt::format("tokenizer: {} is not UTF-8, which JSON needs", printable(text)));
    }
}

struct Tokens {
    const std::vector<std::string>& texts;
    const std::vector<std::string>& merges;
    std::vector<std::int32_t> types;

    explicit Tokens(const GgufMetadata& metadata)
        : texts(required(metadata, "tokenizer.ggml.tokens")), merges(required(metadata, "tokenizer.ggml.merges")) {
        if (const auto* stored = metadata.array<std::int32_t>("tokenizer.ggml.token_type")) types = *stored;
        types.resize(texts.size(), kTokenNormal);
    }

    /// Rows of the embedding beyond the tokenizer; reading the folder makes them again.
    bool is_padding(std::size_t id) const {
        return types[id] == kTokenUnused && texts[id] == fmt::format("[PAD{}]", id);
    }
    bool is_added(std::size_t id) const { return types[id] == kTokenControl || types[id] == kTokenUserDefined; }

private:
    static const std::vector<std::string>& required(const GgufMetadata& metadata, std::string_view key) {
        const auto* values = metadata.array<std::string>(key);
        if (!values) throw Error(ErrorKind::kMalformed, fmt::format("{}: absent; the model has no tokenizer", key));
        return *values;
    }
};

// Built as text: a JSON object of 150,000 members in id order is slow to assemble otherwise.
std::string vocabulary_text(const Tokens& tokens) {
    std::string text;
    for (std::size_t id = 0; id < tokens.texts.size(); ++id) {
        if (tokens.is_padding(id)) continue;
        text += fmt::format("{}\n      {}: {}", text.empty() ? "" : ",", json_string(tokens.texts[id]), id);
    }
    return text;
}

std::string merges_text(const Tokens& tokens) {
    const std::unordered_set<std::string_view> known(tokens.texts.begin(), tokens.texts.end());
    std::string text;
    for (const std::string& merge : tokens.merges) {
        const std::size_t space = merge.find(' ', 1);
        const std::string_view left = std::string_view(merge).substr(0, space);
        const std::string_view right = space == std::string::npos ? "" : std::string_view(merge).substr(space + 1);
        if (!known.contains(left) || !known.contains(right) || !known.contains(std::string(left) + std::string(right)))
            throw Error(ErrorKind::kMalformed,
                        fmt::format("tokenizer.ggml.merges: {} does not join tokens to a token", printable(merge)));
        text += fmt::format("{}\n      {}", text.empty() ? "" : ",", json_string(merge));
    }
    return text;
}

std::string added_tokens_text(const Tokens& tokens) {
    std::string text;
    for (std::size_t id = 0; id < tokens.texts.size(); ++id) {
        if (!tokens.is_added(id)) continue;
        text += fmt::format(R"({}{{"id": {}, "content": {}, "single_word": false, "lstrip": false, "rstrip": false, )"
                            R"("normalized": false, "special": {}}})",
                            text.empty() ? "\n    " : ",\n    ", id, json_string(tokens.texts[id]),
                            tokens.types[id] == kTokenControl);
    }
    return text;
}

std::optional<std::size_t> special_id(const GgufMetadata& metadata, const Tokens& tokens,
                                      const SpecialTokenName& name) {
    const std::int64_t id = metadata.integer_or(name.key(), -1);
    if (id < 0 || std::cmp_greater_equal(id, tokens.texts.size())) return std::nullopt;
    return static_cast<std::size_t>(id);
}

/// What stands around every text.
struct Around {
    std::optional<std::size_t> first;
    std::optional<std::size_t> last;
};

Around tokens_around(const GgufMetadata& metadata, const Tokens& tokens, const PreTokenizerForm& form) {
    Around around;
    if (metadata.boolean_or("tokenizer.ggml.add_bos_token", form.adds_bos))
        around.first = special_id(metadata, tokens, {"bos", "bos"});
    if (metadata.boolean_or("tokenizer.ggml.add_eos_token", false))
        around.last = special_id(metadata, tokens, {"eos", "eos"});
    return around;
}

std::string post_processor_text(const Tokens& tokens, const Around& around) {
    const ordered_json byte_level{
        {"type", "ByteLevel"}, {"add_prefix_space", true}, {"trim_offsets", false}, {"use_regex", true}};
    if (!around.first && !around.last) return byte_level.dump();

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
    const ordered_json whole{
        {"type", "Sequence"},
        {"processors",
         {byte_level,
          {{"type", "TemplateProcessing"}, {"single", single}, {"pair", pair}, {"special_tokens", special_tokens}}}}};
    return whole.dump();
}

std::string tokenizer_text(const GgufMetadata& metadata, const Tokens& tokens, const PreTokenizerForm& form) {
    // No normalizer: GGUF has none, and with one the ids would differ from llama.cpp's.
    constexpr std::string_view kHead =
        "{{\n  \"version\": \"1.0\",\n  \"truncation\": null,\n  \"padding\": null,\n  \"added_tokens\": [{}\n  ],\n"
        "  \"normalizer\": null,\n  \"pre_tokenizer\": {},\n  \"post_processor\": {},\n"
        "  \"decoder\": {{\"type\": \"ByteLevel\", \"add_prefix_space\": true, \"trim_offsets\": true, "
        "\"use_regex\": true}},\n";
    constexpr std::string_view kModel =
        "  \"model\": {{\n    \"type\": \"BPE\",\n    \"dropout\": null,\n    \"unk_token\": null,\n"
        "    \"continuing_subword_prefix\": null,\n    \"end_of_word_suffix\": null,\n    \"fuse_unk\": false,\n"
        "    \"byte_fallback\": false,\n    \"ignore_merges\": {},\n    \"vocab\": {{{}\n    }},\n"
        "    \"merges\": [{}\n    ]\n  }}\n}}\n";
    return fmt::format(kHead, added_tokens_text(tokens), form.pre_tokenizer,
                       post_processor_text(tokens, tokens_around(metadata, tokens, form))) +
           fmt::format(kModel, form.ignore_merges, vocabulary_text(tokens), merges_text(tokens));
}

std::string tokenizer_config_text(const GgufMetadata& metadata, const Tokens& tokens, const PreTokenizerForm& form) {
    ordered_json config{
        {"tokenizer_class", "PreTrainedTokenizerFast"},  // the one that takes tokenizer.json as it is
        {"add_bos_token", metadata.boolean_or("tokenizer.ggml.add_bos_token", form.adds_bos)},
        {"clean_up_tokenization_spaces", false},
    };
    if (metadata.boolean_or("tokenizer.ggml.add_eos_token", false)) config["add_eos_token"] = true;
    if (metadata.contains("tokenizer.ggml.add_space_prefix"))
        config["add_prefix_space"] = metadata.boolean_or("tokenizer.ggml.add_space_prefix", false);
    for (const SpecialTokenName& name : special_token_names())
        if (const auto id = special_id(metadata, tokens, name))
            config[fmt::format("{}_token", name.hf)] = tokens.texts[*id];
    if (const std::string chat = metadata.text_or("tokenizer.chat_template", ""); !chat.empty())
        config["chat_template"] = chat;
    return config.dump(2) + "\n";
}

std::string generation_config_text(const GgufMetadata& metadata, const Tokens& tokens) {
    ordered_json config = ordered_json::object();
    if (const auto bos = special_id(metadata, tokens, {"bos", "bos"})) config["bos_token_id"] = *bos;
    const auto eos = special_id(metadata, tokens, {"eos", "eos"});
    const auto eot = special_id(metadata, tokens, {"eot", "eot"});
    if (eos && eot && *eos != *eot)
        config["eos_token_id"] = {*eos, *eot};
    else if (eos)
        config["eos_token_id"] = *eos;
    if (const auto padding = special_id(metadata, tokens, {"padding", "pad"})) config["pad_token_id"] = *padding;
    return config.dump(2) + "\n";
}

}  // namespace

HfTokenizerFiles write_hf_tokenizer(const GgufMetadata& tokenizer) {
    if (const std::string model = tokenizer.text_or("tokenizer.ggml.model", "none"); model != "gpt2")
        throw Error(ErrorKind::kUsage,
                    fmt::format("tokenizer.ggml.model: got {}; only byte-level BPE (gpt2) can be written as "
                                "tokenizer.json",
                                printable(model)));
    const PreTokenizerForm form = form_of_pre_tokenizer(tokenizer.text_or("tokenizer.ggml.pre", "default"));
    const Tokens tokens(tokenizer);
    return {.tokenizer = tokenizer_text(tokenizer, tokens, form),
            .tokenizer_config = tokenizer_config_text(tokenizer, tokens, form),
            .generation_config = generation_config_text(tokenizer, tokens)};
}

}  // namespace plasticity
