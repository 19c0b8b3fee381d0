#include "core/bounded_search.h"

#include <iterator>
#include <utility>

namespace plasticity {
namespace {

/// Characters of a text, each look at which is counted: the searcher's own loops cannot be stopped from outside.
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

std::optional<bool> bounded_search(const std::regex& expression, std::string_view text, std::size_t max_steps) {
    std::size_t steps_left = max_steps;
    try {
        return std::regex_search(CountedLook(text.data(), steps_left),
                                 CountedLook(text.data() + text.size(), steps_left), expression);
    } catch (const std::regex_error&) {
        return std::nullopt;
    }
}

}  // namespace plasticity
