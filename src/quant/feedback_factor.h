#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <vector>

#include "artifact/gram.h"
#include "quant/feedback_kernels.h"

namespace plasticity {

/// How rounding errors of earlier columns are made good by later ones.
///
/// With damping λ, H + λI = M D Mᵀ, M upper triangular with a diagonal of ones, D diagonal. An error e of a row then
/// costs e (H + λI) eᵀ = Σ_j D_j (e_j + Σ_{i<j} e_i M_ij)², so column j had best be rounded as if its weight were
/// larger by Σ_{i<j} e_i M_ij, and what rounding leaves there counts D_j. This is the order of GPTQ (Frantar et al.
/// 2022), whose Cholesky factor of the inverse is M⁻¹ but for its rows' scale; here no matrix is inverted.
class FeedbackFactor {
public:
    /// Columns that are handled together; none crosses a multiple of kPanelColumns or a block of the Gram matrix.
    struct Panel {
        std::size_t first_column = 0;
        std::size_t width = 0;      ///< 1 to kPanelColumns
        std::size_t first_row = 0;  ///< columns from here on bear upon it
        float damping = 0;          ///< λ
        std::size_t block = 0;      ///< of the Gram matrix, those without kept channels not counted
        std::size_t offset = 0;     ///< into the block's coefficients
    };

    /// λ is the mean diagonal of a block times channels ÷ tokens, or more where it would not be positive definite.
    /// @param gram  of the matrix' input; channels of different blocks count as independent
    /// @param kept  the channels that the rows hold, ascending, or -1 for one that is zero in every input, which takes
    ///              no feedback and gives none; empty: all
    /// @param n_threads  whom the result does not depend on
    /// @throws Error (kMalformed where the Gram matrix is not positive semi-definite), Interrupted, and what reading
    ///         it throws
    FeedbackFactor(const GramBlocks& gram, std::span<const std::int64_t> kept, int n_threads = 1);

    /// The most memory that making one takes, all channels of `width` kept, in blocks of `block`.
    static std::uint64_t building_bytes(std::int64_t width, std::int64_t block);

    /// The channels of an input that are worked on together within `most_bytes` (block_within).
    /// @param columns  of the rows, zero ones with them
    static std::optional<std::int64_t> block_for(const GramInput& input, std::int64_t columns,
                                                 std::uint64_t most_bytes);

    std::size_t columns() const { return weights_.size(); }
    std::span<const Panel> panels() const { return panels_; }
    /// [panel.width] D of a panel's columns.
    const float* weights(const Panel& panel) const { return weights_.data() + panel.first_column; }
    /// [columns] D: what each column's rounding counts once those after it make up for it.
    std::span<const float> column_weights() const { return weights_; }
    /// [end of the panel − row][kPanelColumns] M from a row ≥ panel.first_row on.
    const float* coefficients(const Panel& panel, std::size_t row) const {
        return coefficients_[panel.block].data() + panel.offset + (row - panel.first_row) * kPanelColumns;
    }

private:
    void append(const std::function<GramBlock()>& read, const std::vector<std::int64_t>& channels, float damping,
                int n_threads);

    std::vector<Panel> panels_;
    std::vector<std::vector<float>> coefficients_;  ///< by block: a single array for all would be copied as it grows
    std::vector<float> weights_;
};

}  // namespace plasticity
