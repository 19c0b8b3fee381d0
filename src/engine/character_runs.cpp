#include "engine/character_runs.h"

#include <algorithm>
#include <cstdint>

namespace plasticity {
namespace {

enum class Kind { kSpace, kPunctuation, kOther };

bool is_between(std::uint32_t c, std::uint32_t first, std::uint32_t last) {
    return c >= first && c <= last;
}

Kind kind_of(std::uint32_t c) {
    if (c <= ' ' || c == 0x85 || c == 0xA0 || c == 0x3000) return Kind::kSpace;
    if (is_between(c, '!', '/') || is_between(c, ':', '@') || is_between(c, '[', '`') || is_between(c, '{', '~'))
        return Kind::kPunctuation;
    if (is_between(c, 0x2010, 0x2027) || is_between(c, 0x3001, 0x3003) || is_between(c, 0xFF01, 0xFF0F))
        return Kind::kPunctuation;
    return Kind::kOther;
}

/// The first byte of a character says how many follow; what is no UTF-8 counts byte by byte.
std::uint32_t next_character(std::string_view text, std::size_t& at) {
    const auto byte = static_cast<unsigned char>(text[at++]);
    const int more = byte >= 0xF0 ? 3 : byte >= 0xE0 ? 2 : byte >= 0xC0 ? 1 : 0;
    std::uint32_t character = more == 0 ? byte : byte & (0x3Fu >> more);
    for (int i = 0; i < more && at < text.size() && (text[at] & 0xC0) == 0x80; ++i)
        character = character << 6 | (static_cast<unsigned char>(text[at++]) & 0x3F);
    return character;
}

}  // namespace

std::size_t longest_run(std::string_view utf8) {
    std::size_t longest = 0, run = 0;
    Kind last = Kind::kOther;
    for (std::size_t at = 0; at < utf8.size();) {
        const Kind kind = kind_of(next_character(utf8, at));
        run = kind == last ? run + 1 : 1;
        last = kind;
        longest = std::max(longest, run);
    }
    return longest;
}

}  // namespace plasticity
