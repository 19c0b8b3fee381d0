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

std::string terminal_text(std::string_view text, std::string_view kept) {
    std::string out;
    out.reserve(text.size());
    for (std::size_t i = 0; i < text.size(); ++i) {
        const auto byte = static_cast<unsigned char>(text[i]);
        const auto next = i + 1 < text.size() ? static_cast<unsigned char>(text[i + 1]) : 0;
        const bool is_c1 = byte == 0xc2 && next >= 0x80 && next < 0xa0;  // U+0080 to U+009F in UTF-8
        const bool is_control = byte < 0x20 || byte == 0x7f;
        if (is_c1)
            fmt::format_to(std::back_inserter(out), "\\xc2\\x{:02x}", static_cast<unsigned char>(text[++i]));
        else if (is_control && kept.find(text[i]) == std::string_view::npos)
            fmt::format_to(std::back_inserter(out), "\\x{:02x}", byte);
        else
            out += text[i];
    }
    return out;
}

}  // namespace plasticity
