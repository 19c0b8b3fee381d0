#include "plan/name_pattern.h"

#include <fmt/format.h>

#include <utility>

#include "core/bounded_search.h"
#include "core/error.h"

namespace plasticity {
namespace {

[[noreturn]] void refuse(std::string_view pattern, std::string_view why) {
    throw Error(ErrorKind::kUsage, fmt::format("plan: --tensor-type \"{}\" {}", pattern, why));
}

std::regex compile(const std::string& text) {
    if (text.size() > NamePattern::kMaxBytes)
        refuse(text.substr(0, 40) + "…",
               fmt::format("has {} bytes; expected at most {}", text.size(), NamePattern::kMaxBytes));
    try {
        return std::regex(text, std::regex::ECMAScript | std::regex::icase);
    } catch (const std::regex_error& error) {
        refuse(text, fmt::format("is no regular expression: {}", error.what()));
    }
}

}  // namespace

NamePattern::NamePattern(std::string text) : text_(std::move(text)), regex_(compile(text_)) {}

bool NamePattern::is_in(std::string_view name) const {
    if (const auto found = bounded_search(regex_, name, kMaxSteps)) return *found;
    refuse(text_, fmt::format("takes more than {} steps to look for in \"{}\"; expected a pattern without nested "
                              "repetitions such as (a*)*",
                              kMaxSteps, name));
}

}  // namespace plasticity
