#pragma once

#include "model/model.h"
#include "plasticity/verify.h"
#include "verify/demands.h"
#include "verify/findings.h"
#include "verify/subject.h"

namespace plasticity {

/// Everything that the file is run for: its peak of memory, what it says, how far it is from its base, tasks, and stock
/// llama.cpp beside the own engine. @param base  may be nullptr  @pre subject.model is there
/// @throws Error (kUsage for a text shorter than a chunk, kIo), Interrupted
void check_running(const Subject& subject, const Model* base, const Demands& demands, const VerifyOptions& options,
                   Findings findings);

}  // namespace plasticity
