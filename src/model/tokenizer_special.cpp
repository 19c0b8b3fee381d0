#include "model/tokenizer_special.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <utility>
#include <vector>

#include "io/atomic_file.h"
#include "io/printable.h"
#include "io/strict_json.h"
#include "model/config_fields.h"
#include "model/tokenizer_check.h"

// Which file says what follows llama.cpp's converter: gguf-py/gguf/vocab.py (SpecialVocab).

namespace plasticity {
namespace {

using nlohmann::json;

constexpr std::uint64_t kMaxJsonBytes = std::uint64_t{256} << 20;
constexpr std::uint64_t kMaxTemplateBytes = std::uint64_t{16} << 20;

/// "tok" or {"content": "tok", …}.
std::optional<std::string> token_field(const json& config, const std::string& key) {
    const json* value = field(config, key);
    if (value && value->is_object()) return text_field(*value, "content");
    return text_field(config, key);
}

/// Ids may be a list, the first being the main one.
std::vector<std::int32_t> ids_field(const json& config, const std::string& key, const Vocabulary& vocabulary) {
    const json* value = field(config, key);
    if (!value) return {};
    const json list = value->is_array() ? *value : json::array({*value});
    std::vector<std::int32_t> ids;
    for (const json& entry : list) {
        const std::int32_t id = integer_field(json{{key, entry}}, key).value_or(-1);
        if (id < 0 || std::cmp_greater_equal(id, vocabulary.tokens.size()))
            throw Error(ErrorKind::kMalformed,
                        fmt::format("{}: got {}; expected an id below {}", key, id, vocabulary.tokens.size()));
        ids.push_back(id);
    }
    return ids;
}

std::optional<std::int32_t> special_id(const TokenizerConfigs& configs, const SpecialTokenName& name,
                                       const Vocabulary& vocabulary) {
    const std::string key = fmt::format("{}_token", name.hf);
    if (const auto token = token_field(configs.tokenizer_config, key))
        return vocabulary.id_of(*token, "tokenizer_config.json: " + key);
    for (const json* config : {&configs.generation_config, &configs.config})
        if (const std::vector<std::int32_t> ids = ids_field(*config, key + "_id", vocabulary); !ids.empty())
            return ids.front();
    return std::nullopt;
}

/// The texts by which llama.cpp knows the end of a turn. Source: src/llama-vocab.cpp (special_eot_id).
bool ends_turn(std::string_view token) {
    constexpr std::array<std::string_view, 6> kNames{"<|eot_id|>",    "<|im_end|>", "<|end|>",
                                                     "<end_of_turn>", "<EOT>",      "<end_of_utterance>"};
    return std::ranges::find(kNames, token) != kNames.end();
}

/// Only where the folder names several ends of generation: of one, stock llama.cpp knows by itself.
std::optional<std::int32_t> end_of_turn(const TokenizerConfigs& configs, std::optional<std::int32_t> eos,
                                        const Vocabulary& vocabulary) {
    std::vector<std::int32_t> ends = ids_field(configs.generation_config, "eos_token_id", vocabulary);
    if (ends.size() < 2) return std::nullopt;
    for (const std::int32_t id : ends)
        if (ends_turn(vocabulary.tokens[static_cast<std::size_t>(id)])) return id;
    for (const std::int32_t id : ends)
        if (eos && id != *eos) return id;
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

void require_same(const std::string& added, std::optional<std::int32_t> id, const SpecialTokenName& name,
                  const Vocabulary& vocabulary) {
    if (id && *id != vocabulary.id_of(added, "post_processor"))
        throw Error(ErrorKind::kMalformed, fmt::format("post_processor: adds {}; expected the {} token, id {}",
                                                       printable(added), name.hf, *id));
}

}  // namespace

json parse_tokenizer_file(const std::filesystem::path& path) {
    json parsed = parse_strict_json(read_text_file(path, kMaxJsonBytes), path.string());
    if (!parsed.is_object())
        throw Error(ErrorKind::kMalformed, fmt::format("{}: expected a JSON object", path.string()));
    return parsed;
}

void set_special_tokens(const TokenizerConfigs& configs, const Vocabulary& vocabulary, GgufMetadata& metadata) {
    const AddedAround around = read_post_processor(configs.tokenizer);
    std::optional<std::int32_t> eos;
    for (const SpecialTokenName& name : special_token_names()) {
        std::optional<std::int32_t> id = special_id(configs, name, vocabulary);
        const std::optional<std::string>& added = name.gguf == "bos"   ? around.first
                                                  : name.gguf == "eos" ? around.last
                                                                       : std::nullopt;
        if (added) {
            require_same(*added, id, name, vocabulary);
            id = vocabulary.id_of(*added, "post_processor");
        }
        if (name.gguf == "eos") eos = id;
        if (name.gguf == "eot" && !id) id = end_of_turn(configs, eos, vocabulary);
        if (id) metadata.set(name.key(), static_cast<std::uint32_t>(*id));
    }
    const auto adds = [&](std::string_view key, bool by_processor) {
        return boolean_field(configs.tokenizer_config, key).value_or(by_processor);
    };
    metadata.set("tokenizer.ggml.add_bos_token", adds("add_bos_token", around.first.has_value()));
    if (adds("add_eos_token", around.last.has_value())) metadata.set("tokenizer.ggml.add_eos_token", true);
}

std::optional<std::string> read_chat_template(const std::filesystem::path& folder, const json& tokenizer_config) {
    if (const auto path = folder / "chat_template.jinja"; std::filesystem::exists(path))
        return read_text_file(path, kMaxTemplateBytes);
    if (const auto path = folder / "chat_template.json"; std::filesystem::exists(path))
        return text_field(parse_tokenizer_file(path), "chat_template");
    const json* stored = field(tokenizer_config, "chat_template");
    if (!stored || !stored->is_array()) return text_field(tokenizer_config, "chat_template");
    for (const json& named : *stored)
        if (text_field(named, "name") == "default") return text_field(named, "template");
    return std::nullopt;
}

}  // namespace plasticity
