#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>

namespace re2 {
class RE2;
}

namespace plasticity {

enum class LetterCase { kKept, kIgnored };

/// A regular expression in RE2's syntax (https://github.com/google/re2/wiki/Syntax): no backreferences, no looking
/// ahead. So a search takes time linear in the text and a bounded stack, whatever the expression: strangers write both.
class RegularExpression {
public:
    static constexpr std::size_t kMaxBytes = 1'000;

    /// @throws std::invalid_argument, saying what is wrong in words that follow the expression: "has 1001 bytes; …"
    RegularExpression(const std::string& text, LetterCase letter_case);

    /// Is it found anywhere in the text?
    bool is_in(std::string_view text) const;

private:
    std::shared_ptr<const re2::RE2> compiled_;  ///< copies share it
};

}  // namespace plasticity
