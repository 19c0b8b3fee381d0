#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "io/printable.h"
#include "model/config_fields.h"
#include "model/piece_scores.h"
#include "model/pre_tokenizer.h"
#include "model/sentencepiece_form.h"
#include "model/tokenizer_metadata.h"
#include "model/tokenizer_special.h"
#include "model/tokenizer_vocabulary.h"

namespace plasticity {
namespace {

using nlohmann::json;

json parse_if_there(const std::filesystem::path& path) {
    return std::filesystem::exists(path) ? parse_tokenizer_file(path) : json::object();
}

TokenizerConfigs read_configs(const std::filesystem::path& folder) {
    return {.tokenizer = parse_tokenizer_file(folder / "tokenizer.json"),
            .tokenizer_config = parse_if_there(folder / "tokenizer_config.json"),
            .generation_config = parse_if_there(folder / "generation_config.json"),
            .config = parse_if_there(folder / "config.json")};
}

void require_plain_bpe(const json& model) {
    const std::string type = text_field(model, "type").value_or("BPE");
    const bool has_affixes = !text_field(model, "continuing_subword_prefix").value_or("").empty() ||
                             !text_field(model, "end_of_word_suffix").value_or("").empty();
    if (type != "BPE" || has_affixes || field(model, "dropout"))
        throw Error(ErrorKind::kMalformed,
                    fmt::format("model: got {}{}{}; expected BPE without affixes and dropout", printable(type),
                                has_affixes ? " with affixes" : "", field(model, "dropout") ? " with dropout" : ""));
}

Vocabulary convert_byte_level(const TokenizerConfigs& configs, std::int32_t n_vocab, GgufMetadata& metadata) {
    const json& model = configs.tokenizer.at("model");
    const std::string pre = recognise_pre_tokenizer(configs.tokenizer);
    Vocabulary vocabulary = read_vocabulary(configs.tokenizer, VocabularyKind::kByteLevel, n_vocab);
    std::vector<std::string> merges;
    const auto text_of = [&](std::int32_t id) { return vocabulary.tokens[static_cast<std::size_t>(id)]; };
    for (const Merge& merge : read_merges(model, vocabulary))
        merges.push_back(text_of(merge.left) + " " + text_of(merge.right));

    metadata.set("tokenizer.ggml.model", std::string("gpt2"));
    metadata.set("tokenizer.ggml.pre", pre);
    metadata.set("tokenizer.ggml.tokens", GgufArray(vocabulary.tokens));
    metadata.set("tokenizer.ggml.token_type", GgufArray(vocabulary.types));
    metadata.set("tokenizer.ggml.merges", GgufArray(std::move(merges)));
    if (const auto prefix = boolean_field(configs.tokenizer_config, "add_prefix_space"))
        metadata.set("tokenizer.ggml.add_space_prefix", *prefix);
    return vocabulary;
}

Vocabulary convert_sentencepiece(const TokenizerConfigs& configs, std::int32_t n_vocab, GgufMetadata& metadata) {
    const json& model = configs.tokenizer.at("model");
    const SentencePieceForm form = recognise_sentencepiece(configs.tokenizer);
    if (boolean_field(model, "ignore_merges").value_or(false))
        throw Error(ErrorKind::kMalformed, "model: got ignore_merges with byte_fallback; expected one of them");
    Vocabulary vocabulary = read_vocabulary(configs.tokenizer, VocabularyKind::kByteFallback, n_vocab);
    std::vector<float> scores = scores_of_merges(read_merges(model, vocabulary), vocabulary.tokens);

    metadata.set("tokenizer.ggml.model", std::string("llama"));
    metadata.set("tokenizer.ggml.pre", std::string("default"));
    metadata.set("tokenizer.ggml.tokens", GgufArray(vocabulary.tokens));
    metadata.set("tokenizer.ggml.scores", GgufArray(std::move(scores)));
    metadata.set("tokenizer.ggml.token_type", GgufArray(vocabulary.types));
    metadata.set("tokenizer.ggml.add_space_prefix", form.add_space_prefix);
    return vocabulary;
}

// Text that a chat template writes must be tokens that the model has weights for.
void require_usable_template(const std::string& chat_template, const Vocabulary& vocabulary) {
    for (const auto& [token, id] : vocabulary.left)
        if (chat_template.find(token) != std::string::npos)
            throw Error(
                ErrorKind::kMalformed,
                fmt::format("added token {}: the chat template writes it, but its id {} is beyond the {} rows of "
                            "the embedding",
                            printable(token), id, vocabulary.tokens.size()));
}

GgufMetadata convert(const TokenizerConfigs& configs, const std::filesystem::path& folder, std::int32_t n_vocab) {
    const json* model = field(configs.tokenizer, "model");
    if (!model || !model->is_object()) throw Error(ErrorKind::kMalformed, "model: expected an object");
    require_plain_bpe(*model);
    GgufMetadata metadata;
    const Vocabulary vocabulary = is_sentencepiece(configs.tokenizer)
                                      ? convert_sentencepiece(configs, n_vocab, metadata)
                                      : convert_byte_level(configs, n_vocab, metadata);
    set_special_tokens(configs, vocabulary, metadata);
    if (auto chat_template = read_chat_template(folder, configs.tokenizer_config)) {
        require_usable_template(*chat_template, vocabulary);
        metadata.set("tokenizer.chat_template", std::move(*chat_template));
    }
    return metadata;
}

}  // namespace

GgufMetadata read_hf_tokenizer(const std::filesystem::path& folder, std::int32_t n_vocab) {
    const TokenizerConfigs configs = read_configs(folder);
    try {
        return convert(configs, folder, n_vocab);
    } catch (const Error& error) {
        throw Error(error.kind(), fmt::format("{}: {}", (folder / "tokenizer.json").string(), error.what()));
    }
}

}  // namespace plasticity
