#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "io/gguf_metadata.h"
#include "model/tokenizer_check.h"

namespace plasticity {

/// The vocabulary of a GGUF file, as tokenizer.json is written from it. Refers to the metadata, which must outlive it.
struct GgufTokens {
    const std::vector<std::string>& texts;
    std::vector<std::int32_t> types;
    bool is_sentencepiece = false;  ///< tokenizer.ggml.model "llama"; else byte-level BPE, "gpt2"

    /// @throws Error (kUsage) for other tokenizer models; (kMalformed) when there is no vocabulary
    explicit GgufTokens(const GgufMetadata& metadata);

    /// Rows of the embedding beyond the tokenizer; reading the folder makes them again.
    bool is_padding(std::size_t id) const;
    /// Tokens that are found in a text before anything else.
    bool is_added(std::size_t id) const;
    bool is_special(std::size_t id) const;
};

/// A special token, by its key or else as stock llama.cpp sets it for this model.
std::optional<std::size_t> special_id(const GgufMetadata& metadata, const GgufTokens& tokens,
                                      const SpecialTokenName& name);

/// Whether BOS stands before every text, by the key or else as stock llama.cpp sets it for this model.
bool adds_bos(const GgufMetadata& metadata, const GgufTokens& tokens);

/// tokenizer.json. Made as text: JSON objects of 150,000 members in id order are slow to assemble otherwise.
/// @throws Error (kMalformed) for tokens that are not UTF-8 and merges of no tokens; (kUsage) for pre-tokenizers that
///         are not among the known ones
std::string tokenizer_json_text(const GgufMetadata& metadata, const GgufTokens& tokens);

}  // namespace plasticity
