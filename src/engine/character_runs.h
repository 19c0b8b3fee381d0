#pragma once

#include <cstddef>
#include <string_view>

namespace plasticity {

/// Characters of the longest stretch of a text that holds one kind only: white space, punctuation (ASCII's, and the
/// common blocks of it beyond), or anything else.
std::size_t longest_run(std::string_view utf8);

}  // namespace plasticity
