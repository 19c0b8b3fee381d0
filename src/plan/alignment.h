#pragma once

#include <cstdint>
#include <vector>

#include "artifact/padding.h"
#include "model/model.h"
#include "plan/head_pruning.h"

namespace plasticity {

/// Values in a block of the K and I types; rows of other lengths get types of 32-wide blocks.
inline constexpr std::int32_t kWideBlock = 256;

/// What --align asks for. kAuto: padding where it is predicted to do less damage, which policy optimal can tell;
/// kAutoOwn: the same, of columns too; kPad: every dimension that bars wide types; kColumns: the input columns of those
/// matrices alone whose type wants it, which only the own engine runs.
enum class Align { kAuto, kAutoOwn, kNone, kPad, kColumns };

/// Both compare.
constexpr bool is_auto(Align align) {
    return align == Align::kAuto || align == Align::kAutoOwn;
}

/// Rows and columns of a tensor; rows 0 when it is left out.
struct TensorShape {
    std::int64_t rows = 0;
    std::int64_t cols = 0;
    bool operator==(const TensorShape&) const = default;
};

/// Which dimensions are padded to whole 256-wide blocks, if any, and whether matrices may pad columns of their own.
struct PaddedDimensions {
    bool width = false;
    bool heads = false;
    bool feed_forward = false;
    bool columns = false;  ///< as far as a matrix' type wants it

    bool any() const { return width || heads || feed_forward || columns; }
    bool operator==(const PaddedDimensions&) const = default;
};

/// The same with its sizes.
struct Alignment {
    Padding padding;
    bool columns = false;
    bool operator==(const Alignment&) const = default;
};

/// What is worth comparing, without padding first (kPad and kColumns: nothing but that). A dimension counts where it is
/// no multiple of 256, the same in every block, and stock llama.cpp computes the same with zeros; under kAuto also only
/// where it grows by half at most, beyond which the 32-wide types take fewer bytes for as many bits. Columns are left
/// out for mixtures of experts, which the own engine does not run.
std::vector<PaddedDimensions> padding_candidates(const Architecture& architecture, Align align);

/// The sizes, given the heads that stay. Heads of blocks that keep different numbers are not padded.
Padding padding_for(const PaddedDimensions& dimensions, const Architecture& pruned);

/// Columns count only where some row has no whole 256-wide blocks.
Alignment alignment_for(const PaddedDimensions& dimensions, const Architecture& pruned);

/// What padded columns add to the compute buffers: the longest such row, once for each token of a batch. Whichever
/// matrices get a type that wants it, so that the budget does not depend on that.
std::uint64_t padded_input_bytes(const Architecture& architecture, std::int32_t context_length);

TensorShape padded_shape(const TensorId& id, TensorShape shape, const Padding& padding, std::int32_t head_dim);

}  // namespace plasticity
