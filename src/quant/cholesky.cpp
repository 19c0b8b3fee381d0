#include "quant/cholesky.h"

#include <hwy/aligned_allocator.h>

#include <Eigen/Cholesky>
#include <algorithm>

#include "core/interrupt.h"
#include "core/parallel.h"
#include "quant/eigen_blocking.h"
#include "quant/feedback_kernels.h"

namespace plasticity {
namespace {

/// Columns of a panel: enough to make a tile of what follows worth reading and writing.
constexpr std::size_t kDepth = 128;

using Square = Eigen::Map<Eigen::MatrixXf>;

Eigen::Index index(std::size_t i) {
    return static_cast<Eigen::Index>(i);
}

std::size_t strip_count(std::size_t n_rows) {
    return (n_rows + kFeedbackLanes - 1) / kFeedbackLanes;
}

/// L of the rows below a panel, as products read it; rows beyond the last are zeros.
class PackedPanel {
public:
    explicit PackedPanel(std::size_t most_rows)
        : rows_(hwy::AllocateAligned<float>(strip_count(most_rows) * kStripValues)),
          columns_(hwy::AllocateAligned<float>(strip_count(most_rows) * kStripValues)) {}

    /// @param part  [column][row] of the strip
    void take(const Eigen::Ref<const Eigen::MatrixXf>& part, std::size_t strip) {
        float* rows = rows_.get() + strip * kStripValues;
        float* columns = columns_.get() + strip * kStripValues;
        std::fill_n(rows, kStripValues, 0.0f);
        std::fill_n(columns, kStripValues, 0.0f);
        const auto n_rows = static_cast<std::size_t>(part.rows()), depth = static_cast<std::size_t>(part.cols());
        for (std::size_t k = 0; k < depth; ++k)
            for (std::size_t row = 0; row < n_rows; ++row) {
                const float value = part(index(row), index(k));
                rows[k * kFeedbackLanes + row] = value;
                columns[(row / kPanelColumns * kDepth + k) * kPanelColumns + row % kPanelColumns] = -value;
            }
    }

    /// [kDepth][kFeedbackLanes]
    const float* rows(std::size_t strip) const { return rows_.get() + strip * kStripValues; }
    /// [kDepth][kPanelColumns] −L of some of the rows; `first` is a multiple of kPanelColumns.
    const float* negated(std::size_t first) const { return columns_.get() + first * kDepth; }

    static constexpr std::size_t kStripValues = kDepth * kFeedbackLanes;

private:
    hwy::AlignedFreeUniquePtr<float[]> rows_, columns_;
};

/// Takes a panel's products off a strip of the rows below it: A_ij −= Σ_k L_ik L_jk for j ≤ i.
/// @param below  the first row below the panel
void subtract_products(const PackedPanel& panel, std::size_t below, std::size_t strip, Square& lower) {
    alignas(64) float tile[kPanelColumns * kFeedbackLanes];
    const auto n = static_cast<std::size_t>(lower.rows());
    const std::size_t first_row = below + strip * kFeedbackLanes, end_row = std::min(n, first_row + kFeedbackLanes);
    for (std::size_t first_column = below; first_column < end_row; first_column += kPanelColumns) {
        std::fill_n(tile, kPanelColumns * kFeedbackLanes, 0.0f);
        const auto each_column = [&](const auto& copy) {
            for (std::size_t column = first_column; column < std::min(end_row, first_column + kPanelColumns);
                 ++column) {
                const std::size_t begin = std::max(first_row, column);
                copy(&lower(index(begin), index(column)),
                     tile + (column - first_column) * kFeedbackLanes + begin - first_row, end_row - begin);
            }
        };
        each_column(
            [](const float* of_matrix, float* of_tile, std::size_t count) { std::copy_n(of_matrix, count, of_tile); });
        add_feedback(panel.negated(first_column - below), panel.rows(strip), kDepth, tile);
        each_column(
            [](float* of_matrix, const float* of_tile, std::size_t count) { std::copy_n(of_tile, count, of_matrix); });
    }
}

}  // namespace

bool factor_cholesky(float* lower, std::size_t n, int n_threads) {
    fix_eigen_blocking();
    Square matrix(lower, index(n), index(n));
    PackedPanel panel(n);
    for (std::size_t first = 0; first < n; first += kDepth) {
        throw_if_interrupted();
        const std::size_t width = std::min(kDepth, n - first), below = first + width;
        Eigen::Ref<Eigen::MatrixXf> diagonal = matrix.block(index(first), index(first), index(width), index(width));
        if (const Eigen::LLT<Eigen::Ref<Eigen::MatrixXf>> in_place(diagonal); in_place.info() != Eigen::Success)
            return false;
        const std::size_t n_strips = strip_count(n - below);
        parallel_for(n_threads, n_strips, [&](std::size_t strip) {
            const std::size_t row = below + strip * kFeedbackLanes, n_rows = std::min(kFeedbackLanes, n - row);
            auto part = matrix.block(index(row), index(first), index(n_rows), index(width));
            diagonal.triangularView<Eigen::Lower>().transpose().solveInPlace<Eigen::OnTheRight>(part);
            panel.take(part, strip);
        });
        // The last strips first: they are the longest.
        parallel_for(n_threads, n_strips,
                     [&](std::size_t i) { subtract_products(panel, below, n_strips - 1 - i, matrix); });
    }
    return true;
}

std::uint64_t cholesky_bytes(std::size_t n) {
    return std::uint64_t{2} * sizeof(float) * strip_count(n) * PackedPanel::kStripValues;
}

}  // namespace plasticity
