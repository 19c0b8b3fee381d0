#pragma once

#include <string>
#include <string_view>

#include "api/listening_progress.h"

namespace plasticity {

/// A stage's result.
struct StageOutcome {
    std::string json;    ///< one object
    bool passed = true;  ///< false: the checks of a verification did not all pass
};

// The five stages from files to files, for languages other than C++. Options are a JSON object, see OptionReader; what
// could not be written in the end is refused before any work.
// @throws as the stages; Interrupted where the listener says so

StageOutcome score_stage(std::string_view options, const StageListener& listener);
StageOutcome plan_stage(std::string_view options, const StageListener& listener);
StageOutcome compress_stage(std::string_view options, const StageListener& listener);
StageOutcome verify_stage(std::string_view options, const StageListener& listener);
StageOutcome infer_stage(std::string_view options, const StageListener& listener);

}  // namespace plasticity
