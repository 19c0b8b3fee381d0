#pragma once

#include <string>
#include <string_view>

namespace plasticity {

/// Text from a file as it may stand between tags and in attributes.
std::string svg_escaped(std::string_view text);

/// The opening tag with the colours that all pictures share, light or dark as the viewer is (--ink, --grid, --blue,
/// --orange, --paper), and `style` after them. @param label  what the picture is, for those who do not see it; escaped
/// here
std::string svg_begin(double width, double height, std::string_view label, std::string_view style);

}  // namespace plasticity
