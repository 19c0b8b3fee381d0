#pragma once

#include <cstdint>
#include <vector>

#include "artifact/gram.h"
#include "artifact/statistics.h"
#include "core/progress.h"
#include "model/model.h"

namespace plasticity {

/// What stays of the damage of removing heads of one block once compress has let the others take over what they did,
/// as shares of the damage without that.
struct HeadCompensation {
    std::vector<double> heads;   ///< [query head]: it alone goes
    std::vector<double> groups;  ///< [KV group]: all its heads go together
};

/// For every block; members are empty where it has no attention, or the file does not know what its output projection
/// reads. A share is that of the projection's output error (quant/removal_error.h), a sample of rows weighed by their
/// curvature; of what n tokens say is gained, n ÷ (n + channels) is counted on, as for error feedback
/// (plan/input_feedback.h). That fewer heads are left to take over when several go is not seen.
/// @throws Error (kMalformed, kIo), Interrupted
std::vector<HeadCompensation> head_compensation(const Model& model, const Statistics& statistics,
                                                const GramSource& gram, int threads, Progress& progress);

}  // namespace plasticity
