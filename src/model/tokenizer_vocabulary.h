#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <unordered_map>
#include <vector>

namespace plasticity {

/// The tokens of a tokenizer.json in order of their ids, as GGUF wants them. Ids that no token takes become unused
/// tokens named "[PAD<id>]", as llama.cpp's converter names them.
struct Vocabulary {
    std::vector<std::string> tokens;                     ///< GGUF's spelling
    std::vector<std::int32_t> types;                     ///< TokenType of each
    std::unordered_map<std::string, std::int32_t> ids;   ///< by tokenizer.json's spelling
    std::unordered_map<std::string, std::int32_t> left;  ///< added tokens whose ids lie beyond `tokens`

    /// @throws Error (kMalformed) when there is no such token: `where` says who names it
    std::int32_t id_of(const std::string& token, const std::string& where) const;
};

/// How the model behind a vocabulary spells what it does not know.
enum class VocabularyKind { kByteLevel, kByteFallback };

/// Types follow llama.cpp's converter: added tokens are control tokens when marked special or when they look so
/// ("<|…|>", "<unused…>"), else user-defined; unk_token and "<0x0A>" have types of their own with byte fallback.
/// An added token beyond the embedding is left out, as llama.cpp leaves it out: no weights stand behind it (Gemma 3's
/// "<image_soft_token>" in models without sight).
/// @param n_vocab  rows of the embedding
/// @throws Error (kMalformed): ids out of range, a token or an id twice, wrong types, rules GGUF cannot express
Vocabulary read_vocabulary(const nlohmann::json& tokenizer, VocabularyKind kind, std::int32_t n_vocab);

/// A rule of BPE as ids: left and right, side by side, become whole.
struct Merge {
    std::int32_t left;
    std::int32_t right;
    std::int32_t whole;
    bool operator==(const Merge&) const = default;
};

/// model.merges, written as "a b" or as ["a", "b"], in order of rank.
/// @throws Error (kMalformed) when a merge does not join two tokens to a third
std::vector<Merge> read_merges(const nlohmann::json& model, const Vocabulary& vocabulary);

}  // namespace plasticity
