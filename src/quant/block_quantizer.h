#pragma once

#include <ggml.h>

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "quant/own_quantizers.h"

namespace plasticity {

/// Turns F32 rows of one matrix into a ggml type, rows weighted by how much each input channel matters.
///
/// Every row is quantised on its own, so the bytes depend neither on how rows are grouped into tiles nor on which
/// thread handles them. Thread-safe once built: one quantizer serves all threads.
class BlockQuantizer {
public:
    /// @param type        any type for which quantizes_to() holds
    /// @param cols        elements of a row, a multiple of the type's block
    /// @param importance  [cols] mean squared activation of each input channel, or empty for none
    /// @param name        the tensor's, for messages
    /// @throws Error (kMalformed: block does not divide the row, importance of another length, negative or not finite;
    ///         kUsage: a type that nothing can be quantised to)
    BlockQuantizer(ggml_type type, std::int64_t cols, std::span<const float> importance, std::string name);

    /// @param rows       [n, cols] row-major, n = rows.size() / cols
    /// @param first_row  index of rows[0] in the whole tensor, for messages
    /// @param out        exactly n · row_bytes()
    /// @throws Error (kMalformed) naming tensor and index of the first weight that is not finite, or that is beyond the
    ///         16-bit floats which the type's scales are made of
    void quantize(std::span<const float> rows, std::int64_t first_row, std::span<std::byte> out) const;

    std::uint64_t row_bytes() const { return ggml_row_size(type_, cols_); }
    ggml_type type() const { return type_; }

private:
    void require_representable(std::span<const float> rows, std::int64_t first_row) const;
    void quantize_own(std::span<const float> rows, std::span<std::byte> out) const;

    ggml_type type_;
    std::int64_t cols_;
    std::vector<float> importance_;  ///< empty: ggml minimises the plain squared error
    std::string name_;
    QuantizeBlocks own_ = nullptr;  ///< nullptr: ggml's quantiser
};

/// ggml has a quantiser (or a plain conversion) from F32 to `type`: block types except those for activations only.
bool quantizes_to(ggml_type type);

}  // namespace plasticity
