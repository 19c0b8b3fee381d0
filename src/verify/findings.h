#pragma once

#include "artifact/report.h"
#include "core/progress.h"

namespace plasticity {

/// Where findings and progress go.
struct Findings {
    Report& report;
    Progress& progress;
};

}  // namespace plasticity
