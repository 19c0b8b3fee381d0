#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "model/tokenizer_check.h"
#include "model/tokenizer_json.h"
#include "model/tokenizer_metadata.h"

namespace plasticity {
namespace {

using nlohmann::ordered_json;

std::string tokenizer_config_text(const GgufMetadata& metadata, const GgufTokens& tokens) {
    ordered_json config{
        {"tokenizer_class", "PreTrainedTokenizerFast"},  // the one that takes tokenizer.json as it is
        {"add_bos_token", adds_bos(metadata, tokens)},
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

std::string generation_config_text(const GgufMetadata& metadata, const GgufTokens& tokens) {
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
    const GgufTokens tokens(tokenizer);
    return {.tokenizer = tokenizer_json_text(tokenizer, tokens),
            .tokenizer_config = tokenizer_config_text(tokenizer, tokens),
            .generation_config = generation_config_text(tokenizer, tokens)};
}

}  // namespace plasticity
