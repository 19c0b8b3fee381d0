#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "engine/cache_request.h"
#include "engine/decoder.h"
#include "engine/tokenizer.h"
#include "plasticity/draft.h"

namespace plasticity {

/// A smaller model that guesses how a text goes on: the likeliest token again and again.
class Draft {
public:
    /// Loads the model. @param tokenizer  of the model that is guessed for  @param context_length  of that, tokens
    /// @throws Error (kMissing, kMalformed, kIo; kUsage where the vocabularies differ), Interrupted
    static std::unique_ptr<Draft> open(const DraftRequest& request, const Tokenizer& tokenizer,
                                       std::int32_t context_length, const RunOn& on, Progress& progress);

    /// @param decoder  of the same vocabulary  @param most  tokens guessed at once, at least one
    Draft(std::unique_ptr<Decoder> decoder, std::int32_t most) : decoder_(std::move(decoder)), most_(most) {}

    /// Up to so many tokens behind `text`: fewer where the draft itself is unsure of one, none at its context's end.
    /// @param text  at least one token; whatever of it the draft has read before is not read again
    std::vector<std::int32_t> guess(std::span<const std::int32_t> text, std::int32_t at_most);

private:
    void read(std::span<const std::int32_t> text);

    std::unique_ptr<Decoder> decoder_;
    std::int32_t most_;
    std::vector<std::int32_t> read_;  ///< what the decoder holds, and at most that
    std::vector<float> logits_;       ///< behind it
};

/// Of the model that is guessed for, whose passes mostly take several tokens: no second copies where nobody asks.
CacheRequest cache_beside(const DraftRequest& draft, CacheRequest cache);

}  // namespace plasticity
