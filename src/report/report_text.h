#pragma once

#include <string>

#include "artifact/report.h"

namespace plasticity {

/// A report for a terminal: a line per check, then the quality panel.
std::string report_text(const Report& report);

/// "mean KL 0.0197, median 0.0041, 99.9 % 0.81, top-1 95.1 %, perplexity 5.61 against 5.50 (×1.020)".
std::string quality_text(const QualityPanel& quality);

}  // namespace plasticity
