#pragma once

#include <string>

#include "report/run_record.h"

namespace plasticity {

/// A run as one page of HTML that needs nothing else: no network, no fonts, no script but a filter for the reasons, and
/// all of it is there without that script. Light or dark as the viewer is, for print and for narrow screens too. A
/// policy in its head keeps everything else out, should a stranger's text ever get past escaping.
std::string report_page(const RunRecord& record);

}  // namespace plasticity
