#include "plan/type_fitting.h"

#include <algorithm>

#include "core/checked.h"

namespace plasticity {
namespace {

constexpr std::uint64_t kAlignment = 32;  // GGUF's default, which the writer uses

std::uint64_t padded(const MatrixChoice& choice, std::size_t level) {
    return align_up(choice.bytes_at(level), kAlignment);
}

/// The step of one matrix from a level to the next below: bytes that it saves and damage that it adds for each of them.
struct Step {
    std::uint64_t saved_bytes = 0;
    double price = 0;
};

Step step_below(const MatrixChoice& choice, std::size_t upper) {
    const std::uint64_t saved = padded(choice, upper) - padded(choice, upper + 1);
    const double added = choice.damage_at(upper + 1) - choice.damage_at(upper);
    return {saved, added / static_cast<double>(std::max<std::uint64_t>(saved, 1))};
}

}  // namespace

std::uint64_t stored_bytes(const std::vector<MatrixChoice>& choices) {
    std::uint64_t bytes = 0;
    for (const MatrixChoice& choice : choices) bytes += padded(choice, choice.level);
    return bytes;
}

std::uint64_t smallest_bytes(const std::vector<MatrixChoice>& choices) {
    std::uint64_t bytes = 0;
    for (const MatrixChoice& choice : choices) bytes += padded(choice, choice.ladder.size() - 1);
    return bytes;
}

bool demote_until_fits(std::vector<MatrixChoice>& choices, std::uint64_t room_bytes) {
    std::uint64_t bytes = stored_bytes(choices);
    std::vector<Step> next(choices.size());
    for (std::size_t i = 0; i < choices.size(); ++i)
        if (choices[i].can_demote()) next[i] = step_below(choices[i], choices[i].level);
    while (bytes > room_bytes) {
        std::size_t cheapest = choices.size();
        for (std::size_t i = 0; i < choices.size(); ++i)  // of equal prices the first: deterministic
            if (choices[i].can_demote() && (cheapest == choices.size() || next[i].price < next[cheapest].price))
                cheapest = i;
        if (cheapest == choices.size()) return false;
        bytes -= next[cheapest].saved_bytes;
        ++choices[cheapest].level;
        if (choices[cheapest].can_demote()) next[cheapest] = step_below(choices[cheapest], choices[cheapest].level);
    }
    return true;
}

std::size_t Promoter::promote_within(std::uint64_t room_bytes) {
    std::vector<Step> next(choices_.size());
    for (std::size_t i = 0; i < choices_.size(); ++i)
        if (choices_[i].can_promote()) next[i] = step_below(choices_[i], choices_[i].level - 1);

    std::size_t steps = 0;
    std::uint64_t bytes = stored_bytes(choices_);
    while (bytes < room_bytes) {
        std::size_t best = choices_.size();
        for (std::size_t i = 0; i < choices_.size(); ++i) {
            const bool possible =
                choices_[i].can_promote() && !closed_.contains(i) && next[i].saved_bytes <= room_bytes - bytes;
            if (possible && (best == choices_.size() || next[i].price > next[best].price)) best = i;
        }
        if (best == choices_.size()) break;
        bytes += next[best].saved_bytes;
        --choices_[best].level;
        if (choices_[best].can_promote()) next[best] = step_below(choices_[best], choices_[best].level - 1);
        steps_.push_back(best);
        ++steps;
    }
    return steps;
}

void Promoter::undo_last() {
    const std::size_t last = steps_.back();
    steps_.pop_back();
    ++choices_[last].level;
    closed_.insert(last);
}

}  // namespace plasticity
