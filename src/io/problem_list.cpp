#include "io/problem_list.h"

#include <fmt/format.h>

#include <utility>

#include "core/error.h"

namespace plasticity {
namespace {

constexpr std::size_t kMaxListed = 10;

}  // namespace

void ProblemList::add(std::string problem) {
    ++count_;
    if (first_.size() < kMaxListed) first_.push_back(std::move(problem));
}

void ProblemList::throw_if_any() const {
    if (empty()) return;
    if (count_ == 1) throw Error(ErrorKind::kMalformed, fmt::format("{}: {}", input_, first_.front()));

    std::string message = fmt::format("{}: {} problems", input_, count_);
    for (const std::string& problem : first_) message += "\n  - " + problem;
    if (count_ > first_.size()) message += fmt::format("\n  - and {} more", count_ - first_.size());
    throw Error(ErrorKind::kMalformed, message);
}

}  // namespace plasticity
