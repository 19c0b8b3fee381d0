#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "model/tokenizer_vocabulary.h"

namespace plasticity {

// Two ways to say in which order BPE joins pieces. tokenizer.json ranks pairs; GGUF's "llama" model, after
// SentencePiece, gives each piece a score, and of all neighbours the pair whose join scores best goes first, the
// leftmost among equals. Files converted from SentencePiece rank the pairs by the score of their join, with every way
// to split a token among the merges, so that one can be made from the other.

/// One score for each of n_tokens: 0 for the token joined first, -1 for the next, …; then the tokens that no merge
/// makes (letters, bytes, control tokens), in order of their ids. The scheme is that of SentencePiece's own files.
/// @throws Error (kMalformed) when the scores would not say what the merges say: a token that is made by merges, but
///         not by every split of it into two tokens
std::vector<float> scores_of_merges(std::span<const Merge> merges, std::span<const std::string> tokens);

/// Every split of every token into two, best score first; for one token the longest left part first, as transformers'
/// converter of Gemma has them.
/// @throws Error (kMalformed) for tokens too long to be split in sensible time (512 bytes; real ones stay below 100),
/// and for NaN
std::vector<Merge> merges_of_scores(std::span<const float> scores, std::span<const std::string> tokens);

}  // namespace plasticity
