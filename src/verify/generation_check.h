#pragma once

#include "artifact/report.h"
#include "engine/decoder.h"
#include "model/model.h"

namespace plasticity {

/// What a generation must show to count as coherent; the rest is for readers of the report.
struct GeneratedTokens {
    std::vector<std::int32_t> tokens;
    std::vector<float> log_probabilities;  ///< nats
};

/// "generation": at least three tokens, of the vocabulary, not all the same, with finite probabilities.
Check judge_generation(const GeneratedTokens& generated, std::int32_t n_vocab);

/// Continues a fixed prompt greedily and adds the check, the prompt and the text to the report. A file without a
/// tokenizer is continued from fixed token ids. @throws Interrupted, Error (kIo: no memory)
void check_generation(const Model& model, Decoder& decoder, Report& report);

}  // namespace plasticity
