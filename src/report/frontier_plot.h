#pragma once

#include <string>

#include "artifact/frontier.h"

namespace plasticity {

/// The points as an SVG of their own, light or dark as the viewer is: bytes of the file to the right, divergence
/// upwards on a logarithmic scale, the frontier as a line, the recommended point in a ring.
/// @param frontier  with one point at least
std::string frontier_svg(const Frontier& frontier);

/// The same as a table for a terminal, ascending in bytes.
std::string frontier_table(const Frontier& frontier);

}  // namespace plasticity
