#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "engine/decoder.h"
#include "engine/draft.h"

namespace plasticity {

/// A decoder that a text is fed to token by token. With a draft, tokens that it guesses go through the decoder in the
/// same pass, and what follows each is kept for when the text has gone there; whoever asks gets the decoder's own
/// logits in either case, so what is drawn from them has the decoder's distribution and no other. Logits of several
/// tokens in a pass differ from those of one at a time by rounding only. Source: Leviathan et al. 2023, "Fast Inference
/// from Transformers via Speculative Decoding".
class TokenFeed {
public:
    /// @param decoder, draft  outlive this; nullptr: no draft
    explicit TokenFeed(Decoder& decoder, Draft* draft = nullptr) : decoder_(decoder), draft_(draft) {}

    /// Starts behind what the decoder holds. @param held  exactly those tokens  @param prompt  at least one token
    /// @returns logits of what follows, [n_vocab], valid until the next call
    std::span<const float> begin(std::span<const std::int32_t> held, std::span<const std::int32_t> prompt);
    /// Appends a token. @returns as begin. @throws Error (kUsage when the context is full)
    std::span<const float> append(std::int32_t token);
    /// Takes out of the decoder what was guessed and not appended.
    void settle() { decoder_.rewind(position()); }

    /// Tokens of the text.
    std::int32_t position() const { return static_cast<std::int32_t>(text_.size()); }
    bool is_full() const { return position() >= decoder_.context_length(); }
    const DraftCounts& counts() const { return counts_; }

private:
    std::span<const float> row(std::size_t index) const;

    Decoder& decoder_;
    Draft* draft_;
    std::vector<std::int32_t> text_;
    std::vector<std::int32_t> guesses_;  ///< behind the text when they were made
    std::size_t n_taken_ = 0;            ///< of the guesses, those that the text went on with
    std::vector<float> rows_;            ///< logits behind the text's token and each guess, [1 + guesses][n_vocab]
    DraftCounts counts_;
};

}  // namespace plasticity
