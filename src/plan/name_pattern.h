#pragma once

#include <regex>
#include <string>
#include <string_view>

namespace plasticity {

/// A regular expression over tensors' names, as llama-quantize's --tensor-type takes them: ECMAScript, found anywhere
/// in the name, without regard to case.
///
/// Standard libraries match by backtracking, which some patterns ("(.*)*x") make take time exponential in the length of
/// the name. Names have at most 63 bytes; still a search is given up after kMaxSteps characters looked at.
class NamePattern {
public:
    static constexpr std::size_t kMaxSteps = 100'000;
    static constexpr std::size_t kMaxBytes = 1'000;  ///< of the pattern

    /// @throws Error (kUsage) when it is no regular expression, or too long a one
    explicit NamePattern(std::string text);

    /// @throws Error (kUsage) when the pattern takes too many steps for this name
    bool is_in(std::string_view name) const;
    const std::string& text() const { return text_; }

private:
    std::string text_;
    std::regex regex_;
};

}  // namespace plasticity
