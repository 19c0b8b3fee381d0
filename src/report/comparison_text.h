#pragma once

#include <string>

#include "artifact/comparison.h"

namespace plasticity {

/// The table of a comparison, a file a line, with what it was measured on; for a terminal.
std::string comparison_text(const Comparison& comparison);
/// The same in Markdown (comparison.md).
std::string comparison_markdown(const Comparison& comparison);
/// The same as a page that loads nothing (comparison.html).
std::string comparison_html(const Comparison& comparison);

}  // namespace plasticity
