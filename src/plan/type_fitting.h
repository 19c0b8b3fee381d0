#pragma once

#include <cstddef>
#include <cstdint>
#include <set>
#include <vector>

#include "plan/matrix_choice.h"

namespace plasticity {

/// Bytes of the matrices as a GGUF stores them, each padded to the alignment.
std::uint64_t stored_bytes(const std::vector<MatrixChoice>& choices);
/// The same with every matrix at the end of its ladder: nothing smaller is possible.
std::uint64_t smallest_bytes(const std::vector<MatrixChoice>& choices);

/// Demotes by one step at a time, the least added damage per byte saved first, until the matrices take at most
/// `room_bytes`. @returns false when they do not fit even at the end of every ladder
bool demote_until_fits(std::vector<MatrixChoice>& choices, std::uint64_t room_bytes);

/// Steps up the ladder, the most damage removed per byte first, as long as any step fits in the room. The order of
/// steps is kept, so that the last ones can be taken back.
class Promoter {
public:
    explicit Promoter(std::vector<MatrixChoice>& choices) : choices_(choices) {}

    /// @returns steps taken
    std::size_t promote_within(std::uint64_t room_bytes);
    /// Takes the last step back and never tries that matrix again.
    void undo_last();

private:
    std::vector<MatrixChoice>& choices_;
    std::vector<std::size_t> steps_;
    std::set<std::size_t> closed_;
};

}  // namespace plasticity
