#pragma once

#include <cstdint>
#include <span>

#include "engine/backend.h"

namespace plasticity {

/// Σ over rows of x xᵀ by matrix products on a backend. Products are summed in F32, what is added up in F64; the result
/// does not depend on the number of threads. Not thread-safe.
class GramProduct {
public:
    explicit GramProduct(const Backend& backend) : graph_(backend) {}

    /// @param rows    [n][width]; none adds nothing
    /// @param block   divides width: only blocks of so many channels along the diagonal are summed
    /// @param packed  [width / block][block · (block + 1) / 2] each block's lower triangle, row by row; added to
    /// @throws Error (kIo), Interrupted
    void add(std::span<const float> rows, std::int64_t width, std::int64_t block, std::span<double> packed);

private:
    void add_some(std::span<const float> rows, std::int64_t width, std::int64_t block, std::span<double> packed);

    GraphWorkspace graph_;
};

}  // namespace plasticity
