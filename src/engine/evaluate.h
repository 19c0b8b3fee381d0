#pragma once

#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "artifact/quality.h"
#include "core/progress.h"
#include "engine/decoder.h"
#include "engine/divergence.h"
#include "engine/tokenizer.h"

namespace plasticity {

/// How text is cut for evaluation, as llama.cpp's perplexity tool does: consecutive chunks of `context` tokens, each a
/// sequence of its own (its first token replaced by BOS where the model adds one), the second half of each scored.
/// Source: llama.cpp, tools/perplexity.
struct EvaluationText {
    std::vector<std::int32_t> tokens;
    std::int32_t context = 512;
    std::int32_t n_chunks = 0;
    std::int32_t bos = -1;      ///< -1: the model adds none
    std::int32_t unscored = 0;  ///< tokens at a chunk's start that are context only; 0: half of it

    std::vector<std::int32_t> chunk(std::int32_t index) const;
    std::int32_t first_scored() const { return unscored > 0 ? unscored : context / 2; }
    /// Positions scored in all: n_chunks · (context − 1 − first_scored()).
    std::int64_t positions() const;
};

/// @param max_chunks  0: as many as the text gives
/// @throws Error (kUsage) when the text is shorter than one chunk
EvaluationText prepare_evaluation(const Tokenizer& tokenizer, std::string_view text, std::int32_t context,
                                  std::int32_t max_chunks);

struct Perplexity {
    double value = 0;           ///< exp(mean negative log-likelihood); 1 is best
    double standard_error = 0;  ///< of value, from the spread of positions
    std::int64_t positions = 0;
    double seconds = 0;
};

/// @throws Error (kUsage when the decoder's context is shorter than a chunk), Interrupted
Perplexity perplexity(Decoder& decoder, const EvaluationText& text, Progress& progress);

/// A base and models on the same tokens, chunk by chunk, the base's logits computed once for all models; nothing is
/// stored but the logits (F32) of the current chunk, of the base and of one model: no file of logits, no 16-bit codes.
/// KL divergence of every scored position: Σ p_base (ln p_base − ln p_model).
/// @returns one panel for each model
/// @throws Error (kUsage when a context is shorter than a chunk, kMalformed when the vocabularies differ in size),
/// Interrupted
std::vector<QualityPanel> compare(Decoder& base, std::span<Decoder* const> models, const EvaluationText& text,
                                  Progress& progress);
QualityPanel compare(Decoder& base, Decoder& model, const EvaluationText& text, Progress& progress);

}  // namespace plasticity
