#pragma once

#include <string>
#include <string_view>

#include "core/regular_expression.h"

namespace plasticity {

/// A regular expression over tensors' names, as llama-quantize's --tensor-type takes them: found anywhere in the name,
/// without regard to case.
class NamePattern {
public:
    /// @throws Error (kUsage) when it is no regular expression, or too long a one
    explicit NamePattern(std::string text);

    bool is_in(std::string_view name) const { return expression_.is_in(name); }
    const std::string& text() const { return text_; }

private:
    std::string text_;
    RegularExpression expression_;
};

}  // namespace plasticity
