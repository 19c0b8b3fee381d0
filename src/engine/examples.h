#pragma once

#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <vector>

#include "engine/backpropagation.h"
#include "engine/tokenizer.h"
#include "io/corpus.h"

namespace plasticity {

struct ExampleSet {
    std::vector<Example> examples;
    std::int64_t n_tokens = 0;
    std::int64_t n_shortened = 0;  ///< records cut at kMaxRecordTokens

    /// SHA-256 over ids and targets, in order.
    std::string sha256() const;
    /// The first of them, whole ones until so many tokens are reached; 0: all.
    ExampleSet first(std::int64_t tokens) const;
    std::int64_t longest() const;  ///< tokens of the longest of them; 0: there are none
};

/// Where the next group ends that goes through the network together: one example, and more up to so many tokens.
/// @param n_tokens_at  (place) → tokens
template <typename TokensAt>
std::size_t end_of_group(std::size_t first, std::size_t end, std::int64_t tokens_at_once, const TokensAt& n_tokens_at) {
    std::int64_t n_tokens = 0;
    do n_tokens += n_tokens_at(first++);
    while (first < end && n_tokens < tokens_at_once);
    return first;
}

/// A record longer than this is cut: attention's scores are held for all pairs of an example's tokens.
inline constexpr std::size_t kMaxRecordTokens = 2048;

/// Plain text of all records is joined by newlines and cut into examples of exactly `chunk` tokens (a shorter rest is
/// kept only when it is all there is); its first token becomes BOS where the model adds one. Every other record is an
/// example of its own, of whose tokens only the completion, or what the assistant says, is a target.
/// @throws Error (kUsage when nothing remains; kMalformed naming the record)
ExampleSet make_examples(const std::vector<CorpusRecord>& records, const Tokenizer& tokenizer, std::int32_t chunk);

}  // namespace plasticity
