#include "plan/name_pattern.h"

#include <fmt/format.h>

#include <cstddef>
#include <iterator>
#include <utility>

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

/// Characters of a name, each look at which is counted: the searcher's own loops cannot be stopped from outside.
class CountedLook {
public:
    using iterator_category = std::bidirectional_iterator_tag;
    using value_type = char;
    using difference_type = std::ptrdiff_t;
    using pointer = const char*;
    using reference = const char&;

    CountedLook() = default;
    CountedLook(const char* at, std::size_t& steps_left) : at_(at), steps_left_(&steps_left) {}

    reference operator*() const {
        if ((*steps_left_)-- == 0) throw std::regex_error(std::regex_constants::error_complexity);
        return *at_;
    }
    CountedLook& operator++() {
        ++at_;
        return *this;
    }
    CountedLook operator++(int) { return std::exchange(*this, {at_ + 1, *steps_left_}); }
    CountedLook& operator--() {
        --at_;
        return *this;
    }
    CountedLook operator--(int) { return std::exchange(*this, {at_ - 1, *steps_left_}); }
    bool operator==(const CountedLook& other) const { return at_ == other.at_; }

private:
    const char* at_ = nullptr;
    std::size_t* steps_left_ = nullptr;
};

}  // namespace

NamePattern::NamePattern(std::string text) : text_(std::move(text)), regex_(compile(text_)) {}

bool NamePattern::is_in(std::string_view name) const {
    std::size_t steps_left = kMaxSteps;
    try {
        return std::regex_search(CountedLook(name.data(), steps_left),
                                 CountedLook(name.data() + name.size(), steps_left), regex_);
    } catch (const std::regex_error&) {
        refuse(text_, fmt::format("takes more than {} steps to look for in \"{}\"; expected a pattern without nested "
                                  "repetitions such as (a*)*",
                                  kMaxSteps, name));
    }
}

}  // namespace plasticity
