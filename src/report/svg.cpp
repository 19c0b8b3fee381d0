#include "report/svg.h"

#include <fmt/format.h>

#include "report/markup.h"

namespace plasticity {
namespace {

constexpr std::string_view kColours =
    "svg{font:13px system-ui,sans-serif;background:var(--paper);--paper:#fff;--ink:#1c2733;--grid:#dfe5ea;"
    "--blue:#1766b5;--orange:#c2570c}text{fill:var(--ink)}@media(prefers-color-scheme:dark){svg{--paper:#12181f;"
    "--ink:#e4eaf0;--grid:#2c3744;--blue:#6fb3f2;--orange:#f0975a}}";

}  // namespace

std::string svg_begin(const SvgFrame& frame, std::string_view style) {
    return fmt::format(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" class=\"{2}\" viewBox=\"0 {6} {0} {1}\" width=\"{0}\" "
        "height=\"{1}\" "
        "role=\"img\" aria-label=\"{3}\">\n<style>{4}{5}</style>\n",
        frame.width, frame.height, frame.kind, markup_escaped(frame.label), kColours, style, frame.top);
}

}  // namespace plasticity
