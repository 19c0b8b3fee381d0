#pragma once

#include <ggml.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "quant/feedback_factor.h"
#include "quant/own_quantizers.h"
#include "quant/point_blocks.h"

namespace plasticity {

/// What error feedback did to rows: Σ over rows of e H eᵀ, e the row's error and H the Gram matrix of what it reads;
/// the squared error of the matrix' output over the calibration data, in its units.
struct FeedbackOutcome {
    double error_before = 0;
    double error_after = 0;
    std::int64_t rows = 0;
    std::int64_t rows_changed = 0;  ///< where feedback erred less

    void add(const FeedbackOutcome& other);
};

/// Rounds rows so that errors of earlier columns are made good by later ones: GPTQ (Frantar et al. 2022) on ggml's
/// block formats. Block by block the scales are searched on weights that already bear the feedback of all columns
/// before, then each weight gets its code in turn, or each few weights their point of a grid (as in QuIP#, Tseng et al.
/// 2024).
///
/// A row's bytes depend on nothing but the row, not on those beside it or on threads. Thread-safe once built.
class ErrorFeedback {
public:
    /// @param type    one that it serves
    /// @param factor  as wide as the rows, a multiple of the type's block
    ErrorFeedback(ggml_type type, std::shared_ptr<const FeedbackFactor> factor);

    /// The types with an own quantiser and either a code for each weight or points of a grid with free signs.
    static bool serves(ggml_type type) {
        return own_quantizer(type) != nullptr && (scalar_format(type) != nullptr || point_format(type) != nullptr);
    }

    /// Puts better bytes in the place of those rows that feedback brings closer to the original in what they compute.
    /// Of points of a grid none, where a block of the Gram matrix ends among the weights of one.
    /// @param rows   [n, cols] row-major, finite
    /// @param bytes  n rows, quantised to the type without feedback
    FeedbackOutcome improve(std::span<const float> rows, std::span<std::byte> bytes) const;

private:
    struct Group;
    void load(std::span<const float> rows, Group& group) const;
    void subtract_stored(std::span<const std::byte> bytes, Group& group) const;
    std::vector<double> quantize(Group& group) const;
    void quantize_block(std::size_t first_column, std::span<const FeedbackFactor::Panel> panels, Group& group) const;
    void search_scales(std::size_t first_column, Group& group) const;
    std::byte* block_at(std::size_t first_column, std::size_t lane, Group& group) const;
    void assign_codes(std::size_t first_column, std::span<const FeedbackFactor::Panel> panels, Group& group) const;
    void assign_points(std::size_t first_column, std::span<const FeedbackFactor::Panel> panels, Group& group) const;

    ggml_type type_;
    std::shared_ptr<const FeedbackFactor> factor_;
    std::size_t block_weights_;
    std::size_t row_bytes_;
    QuantizeBlocks own_;
    const ScalarFormat* format_;  ///< or
    const PointFormat* points_;
};

}  // namespace plasticity
