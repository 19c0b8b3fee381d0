#pragma once

#include "artifact/thresholds.h"
#include "engine/decoder.h"
#include "engine/evaluate.h"
#include "verify/findings.h"

namespace plasticity {

/// Compares with the base on held-out text: adds the quality panel, and "kl divergence", which passes when the figures
/// are finite and within the thresholds that were given. How much is acceptable depends on the budget, so without any
/// the reader judges.
/// @throws Error (kIo), Interrupted
void check_quality(Decoder& base, Decoder& decoder, const EvaluationText& text, const Thresholds& thresholds,
                   Findings findings);

/// "kl divergence".
Check judge_quality(const QualityPanel& quality, const Thresholds& thresholds);

}  // namespace plasticity
