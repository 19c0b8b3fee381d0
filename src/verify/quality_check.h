#pragma once

#include "artifact/report.h"
#include "core/progress.h"
#include "engine/decoder.h"
#include "model/model.h"
#include "plasticity/verify.h"

namespace plasticity {

/// Compares with the base on held-out text: adds the quality panel, and "kl divergence", which passes when the
/// figures are finite. How much is acceptable depends on the budget, so the reader judges.
/// @throws Error (kMissing, kUsage: text shorter than one chunk; kIo), Interrupted
void check_quality(const Model& base, Decoder& decoder, const VerifyOptions& options, Report& report,
                   Progress& progress);

}  // namespace plasticity
