#pragma once

#include <string>
#include <string_view>

namespace plasticity {

/// Text out of a stranger's file, fit for a message: in single quotes, control and non-ASCII bytes as \xNN (a terminal
/// must not obey them), cut after 100 bytes.
std::string printable(std::string_view text);

}  // namespace plasticity
