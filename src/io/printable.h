#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace plasticity {

/// Text out of a stranger's file, fit for a message: in single quotes, control and non-ASCII bytes as \xNN (a terminal
/// must not obey them), cut after `max_bytes`.
std::string printable(std::string_view text, std::size_t max_bytes = 100);

}  // namespace plasticity
