#pragma once

#include <string>
#include <string_view>

namespace plasticity {

struct SvgFrame {
    double width = 0, height = 0;  ///< pixels where nothing scales it
    std::string_view kind;         ///< class of the picture; within a page, styles of all pictures are one sheet
    std::string label;             ///< what the picture is, for those who do not see it
    double top = 0;                ///< what lies above is cut off
};

/// The opening tag with the colours that all pictures share, light or dark as the viewer is (--ink, --grid, --blue,
/// --orange, --paper), and `style` after them, whose selectors begin with the frame's class.
std::string svg_begin(const SvgFrame& frame, std::string_view style);

}  // namespace plasticity
