#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "artifact/gram.h"

namespace plasticity {

/// Lets the input columns of a matrix that stay take over what those that go have done, as far as the inputs tell.
///
/// With C = Σ w x xᵀ over the matrix' inputs, S the columns that stay and P those that go, each row becomes
///
///     w′ = w_S + w_P · M,   M = C_PS (C_SS + λI)⁻¹,   λ = 0.01 · mean diagonal of C_SS
///
/// which is the least squares solution for (w′ x_S − w x)², with a ridge. M is the same for all rows.
/// Source: Frantar & Alistarh 2023, "SparseGPT"; Kwon et al. 2022, "A Fast Post-Training Pruning Framework for
/// Transformers", section 4.3.
/// Thread-safe once built. The result depends on its arguments alone. Memory: columns that go · those that stay floats.
class Compensation {
public:
    /// λ as a share of the mean diagonal: what GPTQ damps by, too.
    static constexpr double kRidge = 0.01;

    /// @param gram  of the matrix' input; each of its blocks is solved by itself, as if the others were independent of
    /// it
    /// @param kept  columns that stay, ascending, each < gram.width
    /// @throws Error (kMalformed) where the Gram matrix is not one: not positive semi-definite; and what reading throws
    Compensation(const GramBlocks& gram, std::span<const std::int64_t> kept);

    /// The most memory that making one takes, whichever channels of `width` stay, in blocks of `block`.
    static std::uint64_t building_bytes(std::int64_t width, std::int64_t block);

    /// @param rows  [n][width], all source columns
    /// @param out   [n][kept]
    void apply(std::span<const float> rows, std::span<float> out) const;

private:
    /// What one block of the Gram matrix says.
    struct Part {
        std::size_t first_kept = 0;         ///< index into kept_
        std::size_t n_kept = 0;             ///< columns that stay
        std::vector<std::int64_t> removed;  ///< columns that go
        std::vector<float> map;             ///< [removed][n_kept]: M
    };
    void add(const GramBlocks& gram, std::int64_t first);
    static void add_removed(const Part& part, std::span<const float> row, std::span<double> sums);

    std::int64_t width_;
    std::vector<std::int64_t> kept_;
    std::vector<Part> parts_;
};

}  // namespace plasticity
