#pragma once

#include "model/model.h"
#include "plasticity/verify.h"
#include "verify/demands.h"
#include "verify/findings.h"
#include "verify/subject.h"

namespace plasticity {

/// Everything that can be told without running the file: structure, types, numerics, the base's weights, file size,
/// memory. @param base  may be nullptr
/// @throws Error (kIo), Interrupted
void check_file(const Subject& subject, const Model* base, const Demands& demands, const VerifyOptions& options,
                Findings findings);

}  // namespace plasticity
