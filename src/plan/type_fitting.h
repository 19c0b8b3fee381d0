#pragma once

#include <cstddef>
#include <cstdint>
#include <set>
#include <utility>
#include <vector>

#include "plan/matrix_choice.h"

namespace plasticity {

/// Bytes of the matrices as a GGUF stores them, each padded to the alignment.
std::uint64_t stored_bytes(const std::vector<MatrixChoice>& choices);
/// The same with every matrix at the end of its ladder: nothing smaller is possible.
std::uint64_t smallest_bytes(const std::vector<MatrixChoice>& choices);

/// Demotes, the least added damage per byte saved first, until the matrices take at most
/// `room_bytes`. @returns false when they do not fit even at the end of every ladder
bool demote_until_fits(std::vector<MatrixChoice>& choices, std::uint64_t room_bytes);

/// Chooses all levels anew: the least damage within `room_bytes` (plan/knapsack.h).
/// @returns false, with nothing changed, when not even the end of every ladder fits
bool choose_least_damage(std::vector<MatrixChoice>& choices, std::uint64_t room_bytes);

/// Promotes, the most damage removed per byte first, as long as anything fits. A step may pass over types: between two
/// good ones there are some that cost bytes and gain little. Steps are kept in order, so that the last can be taken
/// back.
class Promoter {
public:
    explicit Promoter(std::vector<MatrixChoice>& choices) : choices_(choices) {}

    /// @returns steps taken
    std::size_t promote_within(std::uint64_t room_bytes);
    /// Takes the last step back and never tries it again.
    void undo_last();

private:
    struct Taken {
        std::size_t choice = 0;
        std::size_t from_level = 0;
    };

    std::vector<MatrixChoice>& choices_;
    std::vector<Taken> taken_;
    std::set<std::pair<std::size_t, std::size_t>> closed_;  ///< (choice, level) that did not fit after all
};

}  // namespace plasticity
