#pragma once

#include <string_view>

namespace plasticity {

// What a run's page is drawn and searched with. Neither holds a stranger's text, nor anything that loads more.

std::string_view page_style();   ///< src/report/page.css
std::string_view page_script();  ///< src/report/page.js

}  // namespace plasticity
