#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>

namespace plasticity {

/// Parses a whole JSON text from a stranger: no duplicate keys, bounded depth, valid UTF-8, nothing after the end.
/// @param where      names the text in messages
/// @param max_depth  levels of objects and arrays inside each other
/// @throws Error (kMalformed)
nlohmann::json parse_strict_json(std::string_view text, const std::string& where, int max_depth = 32);

/// What the JSON library said, fit for a message: its own tags off, a stranger's text escaped and cut.
std::string json_problem(std::string_view what);

}  // namespace plasticity
