#pragma once

#include <string_view>

namespace plasticity {

/// page.html, which the build puts into the program: chat, the model's recipe, its speed. It loads nothing else.
std::string_view chat_page();

}  // namespace plasticity
