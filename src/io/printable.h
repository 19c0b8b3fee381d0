#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace plasticity {

/// Text out of a stranger's file, fit for a message: in single quotes, control and non-ASCII bytes as \xNN (a terminal
/// must not obey them), cut after `max_bytes`.
std::string printable(std::string_view text, std::size_t max_bytes = 100);

/// Text for people, UTF-8 and all, without what a terminal would obey: control characters (C0, DEL, C1) as \xNN.
/// @param kept  control characters that stay: "\n" where the text has lines
std::string terminal_text(std::string_view text, std::string_view kept = "");

}  // namespace plasticity
