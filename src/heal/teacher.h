#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "core/progress.h"
#include "engine/backpropagation.h"
#include "engine/decoder.h"

namespace plasticity {

/// The base's word on every position of some examples. What its logits are computed from is held, n_embd floats a
/// token; the logits themselves, n_vocab, only of the rows that are asked for.
class Teacher {
public:
    /// Reads all examples once. @param base  must outlive this
    Teacher(Decoder& base, std::span<const Example> examples, Progress& progress);

    Teacher(const Teacher&) = delete;
    Teacher& operator=(const Teacher&) = delete;

    /// Of one example. Valid as long as this is.
    const TeacherLogits& of(std::size_t example) const { return logits_[example]; }

private:
    Decoder& base_;
    std::vector<std::vector<float>> hidden_;  ///< [example][tokens − 1][n_embd]
    std::vector<TeacherLogits> logits_;
};

}  // namespace plasticity
