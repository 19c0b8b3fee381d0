#include "core/regular_expression.h"

#include <fmt/format.h>
#include <re2/re2.h>

#include <stdexcept>

namespace plasticity {
namespace {

std::shared_ptr<const re2::RE2> compile(const std::string& text, LetterCase letter_case) {
    if (text.size() > RegularExpression::kMaxBytes)
        throw std::invalid_argument(
            fmt::format("has {} bytes; expected at most {}", text.size(), RegularExpression::kMaxBytes));
    re2::RE2::Options options;
    options.set_log_errors(false);
    options.set_case_sensitive(letter_case == LetterCase::kKept);
    auto compiled = std::make_shared<const re2::RE2>(text, options);
    if (!compiled->ok())
        throw std::invalid_argument(
            fmt::format("is no regular expression (RE2's syntax, without (?=…) and \\1): {}", compiled->error()));
    return compiled;
}

}  // namespace

RegularExpression::RegularExpression(const std::string& text, LetterCase letter_case)
    : compiled_(compile(text, letter_case)) {}

bool RegularExpression::is_in(std::string_view text) const {
    return re2::RE2::PartialMatch(text, *compiled_);
}

}  // namespace plasticity
