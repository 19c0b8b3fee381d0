#pragma once

#include <cstdint>
#include <vector>

#include "artifact/padding.h"
#include "model/model.h"
#include "plan/head_pruning.h"

namespace plasticity {

/// What --align asks for. kAuto: padding where it is predicted to do less damage, which policy optimal can tell; kPad:
/// every dimension that bars wide types.
enum class Align { kAuto, kNone, kPad };

/// Rows and columns of a tensor; rows 0 when it is left out.
struct TensorShape {
    std::int64_t rows = 0;
    std::int64_t cols = 0;
    bool operator==(const TensorShape&) const = default;
};

/// Which dimensions are padded to whole 256-wide blocks, if any.
struct PaddedDimensions {
    bool width = false;
    bool heads = false;
    bool feed_forward = false;

    bool any() const { return width || heads || feed_forward; }
    bool operator==(const PaddedDimensions&) const = default;
};

/// What is worth comparing, without padding first (kPad: nothing but padding). A dimension counts where it is no
/// multiple of 256, the same in every block, and stock llama.cpp computes the same with zeros; under kAuto also only
/// where it grows by half at most, beyond which the 32-wide types take fewer bytes for as many bits.
std::vector<PaddedDimensions> padding_candidates(const Architecture& architecture, Align align);

/// The sizes, given the heads that stay. Heads of blocks that keep different numbers are not padded.
Padding padding_for(const PaddedDimensions& dimensions, const Architecture& pruned);

TensorShape padded_shape(const TensorId& id, TensorShape shape, const Padding& padding, std::int32_t head_dim);

}  // namespace plasticity
