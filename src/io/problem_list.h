#pragma once

#include <cstddef>
#include <string>
#include <vector>

namespace plasticity {

/// Collects what is wrong with one input, so that all of it is reported at once and before any work.
class ProblemList {
public:
    /// @param input  the file, as the message shall name it
    explicit ProblemList(std::string input) : input_(std::move(input)) {}

    void add(std::string problem);
    bool empty() const { return count_ == 0; }

    /// @throws Error (kMalformed) listing the first ten problems and the number of the rest
    void throw_if_any() const;

private:
    std::string input_;
    std::vector<std::string> first_;  // bounded: an input must not choose how much memory its faults take
    std::size_t count_ = 0;
};

}  // namespace plasticity
