#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>

namespace plasticity {

/// What a SentencePiece-like tokenizer does with spaces. Both write U+2581 for a space before pieces are joined.
struct SentencePieceForm {
    bool add_space_prefix = false;  ///< llama 2 and mistral begin a text with a space; gemma does not
};

/// Whether tokenizer.json describes BPE over letters with byte fallback, as files converted from SentencePiece do,
/// rather than byte-level BPE.
bool is_sentencepiece(const nlohmann::json& tokenizer);

/// The form of such a tokenizer.json, by comparing its normalizer and pre_tokenizer with the known ones:
///
///     gemma           Replace " " by U+2581, then Split at " " (which none is left of) or nothing
///     llama 2         Prepend U+2581, then Replace " " by U+2581
///     mistral         Metaspace that does not split, with prepend_scheme always, first or never
///
/// Metaspace puts no space before a text that has one already, and with "first" none after a control token; GGUF cannot
/// say so, and stock llama.cpp puts one there. Text that neither begins with a space nor holds control tokens is
/// tokenised the same.
/// @throws Error (kMalformed) describing what was found when it is none of them
SentencePieceForm recognise_sentencepiece(const nlohmann::json& tokenizer);

/// How tokenizer.json says what the form means, as JSON.
struct SentencePieceJson {
    std::string normalizer;
    std::string pre_tokenizer;
    std::string decoder;
};
SentencePieceJson json_of_sentencepiece(const SentencePieceForm& form);

}  // namespace plasticity
