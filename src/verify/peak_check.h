#pragma once

#include <memory>

#include "artifact/report.h"
#include "core/progress.h"
#include "engine/decoder.h"
#include "model/model.h"

namespace plasticity {

/// Loads the model and fills its context, and adds to the report what that took (`peak`), and "run-time peak": no more
/// than budgets count for it. Where the system does not tell, or a device holds a part, the check passes, saying so.
/// @param max_ratio  measured ÷ predicted that passes, beyond a slack of 64 MiB for what processes have anyway
/// @returns the decoder, with nothing in its context
/// @throws Error (kMalformed, kIo), Interrupted
std::unique_ptr<Decoder> load_measured(const Model& model, const DecoderOptions& options, double max_ratio,
                                       Report& report, Progress& progress);

/// "run-time peak". @param peak  nothing where it could not be measured
Check judge_peak(const std::optional<RunTimePeak>& peak, double max_ratio);

}  // namespace plasticity
