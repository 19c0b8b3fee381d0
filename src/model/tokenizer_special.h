#pragma once

#include <filesystem>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>

#include "io/gguf_metadata.h"
#include "model/tokenizer_vocabulary.h"

namespace plasticity {

/// The files of a Hugging Face folder that say which tokens have a part to play; those that are absent are empty
/// objects.
struct TokenizerConfigs {
    nlohmann::json tokenizer;         ///< tokenizer.json
    nlohmann::json tokenizer_config;  ///< tokenizer_config.json
    nlohmann::json generation_config;
    nlohmann::json config;
};

/// Sets `tokenizer.ggml.*_token_id`, `add_bos_token` and `add_eos_token`. A token is looked for in
/// tokenizer_config.json, then generation_config.json, then config.json; what the post_processor puts round a text has
/// to agree. Where generation ends at several tokens, the one that ends a turn ("<|im_end|>", "<|eot_id|>", …) becomes
/// the eot token, so that stock llama.cpp stops at it too.
/// @throws Error (kMalformed) for tokens that are not in the vocabulary and for other post_processors
void set_special_tokens(const TokenizerConfigs& configs, const Vocabulary& vocabulary, GgufMetadata& metadata);

/// chat_template.jinja wins, then chat_template.json, then tokenizer_config.json, as in transformers; of several named
/// templates the default one counts.
std::optional<std::string> read_chat_template(const std::filesystem::path& folder,
                                              const nlohmann::json& tokenizer_config);

/// A JSON object of a folder. @throws Error (kMissing, kMalformed, kIo)
nlohmann::json parse_tokenizer_file(const std::filesystem::path& path);

}  // namespace plasticity
