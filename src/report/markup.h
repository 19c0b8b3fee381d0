#pragma once

#include <string>
#include <string_view>

namespace plasticity {

/// A stranger's text as it may stand between tags and in double-quoted attributes of HTML and SVG: markup as character
/// references; bytes that are no UTF-8, and control characters but tab and line feed, as U+FFFD.
std::string markup_escaped(std::string_view text);

/// The same where line ends would end what it stands in: a line of Markdown, of YAML or of a Modelfile. Controls, line
/// ends included, become spaces, bytes that are no UTF-8 U+FFFD; nothing is escaped.
std::string single_line(std::string_view text);

/// A line as Markdown shows it letter by letter, in a table too.
std::string markdown_escaped(std::string_view text);

}  // namespace plasticity
