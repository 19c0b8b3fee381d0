#pragma once

#include <span>

#include "artifact/report.h"
#include "artifact/thresholds.h"
#include "engine/decoder.h"
#include "model/model.h"

namespace plasticity {

/// Texts that the model drew, token by token, from its own distribution (temperature 1, nothing cut off): what it is
/// wrong about shows there, whatever its likeliest tokens are.
struct DrawnTexts {
    std::vector<std::vector<std::int32_t>> prompts, texts;  ///< token ids, [text]
    double entropy = 0;                                     ///< mean over all drawn tokens, nats
    double negative_log_likelihood = 0;                     ///< mean likewise, under the model itself
};

/// The same for the same model; a text does not end before its length. @throws Error (kMalformed), Interrupted
DrawnTexts draw_texts(const Model& model, Decoder& decoder);

/// Mean over the drawn tokens of −ln p under another model, nats. @throws Error (kMalformed), Interrupted
double judged_by(Decoder& judge, const DrawnTexts& drawn);

/// Share of 4-grams that occurred before in the same text.
double repetition(std::span<const std::vector<std::int32_t>> texts);

/// "coherence": fails where the model repeats itself, is always certain, or writes what nobody would.
Check judge_coherence(const OutputCoherence& coherence, const Thresholds& thresholds);

}  // namespace plasticity
