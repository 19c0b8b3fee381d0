#include "io/printable.h"

#include <fmt/format.h>

#include <iterator>

namespace plasticity {

std::string printable(std::string_view text, std::size_t max_bytes) {
    std::string out = "'";
    for (const char c : text.substr(0, max_bytes)) {
        const auto byte = static_cast<unsigned char>(c);
        if (byte < 0x20 || byte > 0x7e)
            fmt::format_to(std::back_inserter(out), "\\x{:02x}", byte);
        else
            out += c;
    }
    return out + (text.size() > max_bytes ? "…'" : "'");
}

}  // namespace plasticity
