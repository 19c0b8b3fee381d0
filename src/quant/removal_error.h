#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "artifact/gram.h"

namespace plasticity {

/// What removing some columns of a matrix costs its outputs, before and after the others have taken over what they can
/// (quant/compensation.h). With C = Σ x xᵀ over the matrix' inputs and P the columns that go, a row w errs by
///
///     w_P C_PP w_Pᵀ,   and then by   w_P R w_Pᵀ,   R = (((C + λI)⁻¹)_PP)⁻¹ − λI
///
/// which is the Schur complement of C + λI less the ridge; λ = 0.01 · mean diagonal of C. One factor serves all P.
/// Source: Hassibi & Stork 1992, "Second order derivatives for network pruning: Optimal Brain Surgeon", for several
/// weights at once.
/// Thread-safe once built. The result depends on its arguments alone.
class RemovalError {
public:
    /// @throws Error (kMalformed) where the Gram matrix is not one: not positive semi-definite
    explicit RemovalError(GramBlock gram);

    struct Sums {
        double cut = 0;
        double compensated = 0;
    };
    /// @param first, n  columns that go; within the block
    /// @param rows      [factors][block's side]
    /// @param factors   how much each row counts
    Sums of(std::int64_t first, std::int64_t n, std::span<const float> rows, std::span<const double> factors) const;

    /// The most memory that one takes.
    static std::uint64_t building_bytes(std::int64_t side);

private:
    GramBlock gram_;
    double lambda_ = 0;
    std::vector<double> factor_;  ///< [side][side] column by column, L of C + λI = L Lᵀ in the lower triangle
};

}  // namespace plasticity
