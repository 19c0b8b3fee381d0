#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>

namespace plasticity {

/// `tokenizer.ggml.pre` of a byte-level tokenizer.json, found by comparing what its normalizer, pre_tokenizer and model
/// do with the known forms; spellings that do the same count as the same.
/// @throws Error (kMalformed) describing what was found when it is none of them
std::string recognise_pre_tokenizer(const nlohmann::json& tokenizer);

/// How tokenizer.json says what a `tokenizer.ggml.pre` means.
struct PreTokenizerForm {
    std::string pre;             ///< the name under which llama.cpp knows it best
    std::string normalizer;      ///< JSON; stock llama.cpp leaves out the NFC that the Qwen models were trained with
    std::string pre_tokenizer;   ///< JSON
    bool ignore_merges = false;  ///< a piece that is a token needs no merges
    bool adds_bos = false;       ///< where the file does not say
};

/// @throws Error (kUsage) for a name that is not among the known ones
PreTokenizerForm form_of_pre_tokenizer(std::string_view pre);

}  // namespace plasticity
