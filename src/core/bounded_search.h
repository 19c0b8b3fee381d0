#pragma once

#include <cstddef>
#include <optional>
#include <regex>
#include <string_view>

namespace plasticity {

/// Is the expression found anywhere in the text? Standard libraries match by backtracking, which some expressions
/// ("(.*)*x") make take time exponential in the length of the text: the search is given up after `max_steps` characters
/// looked at. Each may take a few hundred bytes of stack, so that texts must be bounded, too.
/// @returns nothing when it was given up
std::optional<bool> bounded_search(const std::regex& expression, std::string_view text, std::size_t max_steps);

}  // namespace plasticity
