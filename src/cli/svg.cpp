#include "cli/svg.h"

#include <fmt/format.h>

namespace plasticity {
namespace {

constexpr std::string_view kColours =
    "svg{font:13px system-ui,sans-serif;background:var(--paper);--paper:#fff;--ink:#1c2733;--grid:#dfe5ea;"
    "--blue:#1766b5;--orange:#c2570c}text{fill:var(--ink)}@media(prefers-color-scheme:dark){svg{--paper:#12181f;"
    "--ink:#e4eaf0;--grid:#2c3744;--blue:#6fb3f2;--orange:#f0975a}}";

}  // namespace

std::string svg_escaped(std::string_view text) {
    std::string result;
    for (const char c : text) {
        if (c == '<')
            result += "&lt;";
        else if (c == '>')
            result += "&gt;";
        else if (c == '&')
            result += "&amp;";
        else if (c == '"')
            result += "&quot;";
        else
            result += c;
    }
    return result;
}

std::string svg_begin(double width, double height, std::string_view label, std::string_view style) {
    return fmt::format(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {0} {1}\" width=\"{0}\" height=\"{1}\" role=\"img\" "
        "aria-label=\"{2}\">\n<style>{3}{4}</style>\n",
        width, height, svg_escaped(label), kColours, style);
}

}  // namespace plasticity
