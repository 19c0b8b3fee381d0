#include "quant/error_feedback.h"

#include <hwy/aligned_allocator.h>

#include <algorithm>
#include <array>
#include <utility>

#include "io/dequantize.h"

namespace plasticity {
namespace {

using Floats = hwy::AlignedFreeUniquePtr<float[]>;
using Codes = hwy::AlignedFreeUniquePtr<std::uint8_t[]>;

constexpr std::size_t kPanelValues = kPanelColumns * kFeedbackLanes;

Floats zeros(std::size_t columns) {
    Floats values = hwy::AllocateAligned<float>(columns * kFeedbackLanes);
    std::fill_n(values.get(), columns * kFeedbackLanes, 0.0f);
    return values;
}

/// Columns whose errors are known: [begin, end) of [all][lanes].
struct Errors {
    const float* columns;
    std::size_t begin;
    std::size_t end;
};

/// What is wanted of a panel's columns so far, and what errors ask of them beyond that.
/// @param wanted  [panel.width][lanes]
void fill_targets(const FeedbackFactor& factor, const FeedbackFactor::Panel& panel, const float* wanted,
                  const Errors& errors, float* targets) {
    std::fill_n(targets, kPanelValues, 0.0f);
    std::copy_n(wanted, panel.width * kFeedbackLanes, targets);
    if (const std::size_t begin = std::max(errors.begin, panel.first_row); begin < errors.end)
        add_feedback(factor.coefficients(panel, begin), errors.columns + begin * kFeedbackLanes, errors.end - begin,
                     targets);
}

/// No block of the Gram matrix ends among the weights of a point.
bool has_whole_cells(const FeedbackFactor& factor, std::size_t dims) {
    return std::ranges::all_of(factor.panels(), [&](const FeedbackFactor::Panel& panel) {
        return panel.first_column % dims == 0 && panel.width % dims == 0;
    });
}

PanelWork work_of(const FeedbackFactor& factor, const FeedbackFactor::Panel& panel, const float* targets) {
    return {.width = panel.width, .coefficients = factor.coefficients(panel, panel.first_column), .targets = targets};
}

/// Adds a panel's part of e H eᵀ for each lane's errors e: what H + λI says, less λ Σ e².
/// @param wanted  [panel.width][lanes] the panel's errors, and the feedback of all errors that `errors` leaves out
/// @param errors  those before the panel
/// @param sums    [lanes]
void add_output_errors(const FeedbackFactor& factor, const FeedbackFactor::Panel& panel, const float* wanted,
                       const Errors& errors, std::vector<double>& sums) {
    alignas(64) float targets[kPanelValues];
    alignas(64) float damage[kFeedbackLanes] = {};
    const float* own = errors.columns + panel.first_column * kFeedbackLanes;
    fill_targets(factor, panel, wanted, errors, targets);
    add_damage(factor.weights(panel), work_of(factor, panel, targets), own, damage);
    for (std::size_t lane = 0; lane < kFeedbackLanes; ++lane) {
        double squares = 0;
        for (std::size_t c = 0; c < panel.width; ++c)
            squares += double{own[c * kFeedbackLanes + lane]} * double{own[c * kFeedbackLanes + lane]};
        sums[lane] += double{damage[lane]} - double{panel.damping} * squares;
    }
}

/// @param columns  [columns][lanes] errors
std::vector<double> output_errors(const FeedbackFactor& factor, const float* columns) {
    std::vector<double> sums(kFeedbackLanes, 0.0);
    for (const FeedbackFactor::Panel& panel : factor.panels())
        add_output_errors(factor, panel, columns + panel.first_column * kFeedbackLanes,
                          {columns, 0, panel.first_column}, sums);
    return sums;
}

}  // namespace

/// Rows side by side, a lane each; lanes without a row hold zeros.
struct ErrorFeedback::Group {
    Group(std::size_t n_columns, std::size_t block_weights)
        : columns(zeros(n_columns)),
          feedback(zeros(block_weights)),
          targets(zeros(block_weights)),
          codes(hwy::AllocateAligned<std::uint8_t>(block_weights * kFeedbackLanes)),
          block_rows(block_weights * kFeedbackLanes) {}

    std::size_t n_rows = 0;
    Floats columns;                 ///< [columns][lanes] weights; errors from where a block has been quantised
    Floats feedback;                ///< [block's weights][lanes] of all blocks before
    Floats targets;                 ///< [block's weights][lanes] with that feedback
    Codes codes;                    ///< [block's weights][lanes]
    std::vector<float> block_rows;  ///< [lanes][block's weights] the targets, as quantisers want them
    std::vector<std::byte> bytes;   ///< [rows][row_bytes]
};

void FeedbackOutcome::add(const FeedbackOutcome& other) {
    error_before += other.error_before;
    error_after += other.error_after;
    rows += other.rows;
    rows_changed += other.rows_changed;
}

ErrorFeedback::ErrorFeedback(ggml_type type, std::shared_ptr<const FeedbackFactor> factor)
    : type_(type),
      factor_(std::move(factor)),
      block_weights_(static_cast<std::size_t>(ggml_blck_size(type))),
      row_bytes_(ggml_row_size(type, static_cast<std::int64_t>(factor_->columns()))),
      own_(own_quantizer(type)),
      format_(scalar_format(type)),
      points_(point_format(type)) {}

FeedbackOutcome ErrorFeedback::improve(std::span<const float> rows, std::span<std::byte> bytes) const {
    const std::size_t n_columns = factor_->columns(), n_rows = rows.size() / n_columns;
    const bool is_possible = points_ == nullptr || has_whole_cells(*factor_, points_->grid->dims);
    Group group(n_columns, block_weights_);
    FeedbackOutcome outcome;
    for (std::size_t first = 0; first < n_rows; first += kFeedbackLanes) {
        group.n_rows = std::min(kFeedbackLanes, n_rows - first);
        const auto some = rows.subspan(first * n_columns, group.n_rows * n_columns);
        const auto stored = bytes.subspan(first * row_bytes_, group.n_rows * row_bytes_);
        load(some, group);
        subtract_stored(stored, group);
        const std::vector<double> before = output_errors(*factor_, group.columns.get());
        std::vector<double> after = before;
        if (is_possible) {
            load(some, group);
            after = quantize(group);
        }
        for (std::size_t lane = 0; lane < group.n_rows; ++lane) {
            const bool better = after[lane] < before[lane];
            outcome.add({before[lane], better ? after[lane] : before[lane], 1, better ? 1 : 0});
            if (better)
                std::copy_n(group.bytes.begin() + static_cast<std::ptrdiff_t>(lane * row_bytes_), row_bytes_,
                            stored.begin() + static_cast<std::ptrdiff_t>(lane * row_bytes_));
        }
    }
    return outcome;
}

void ErrorFeedback::load(std::span<const float> rows, Group& group) const {
    const std::size_t n_columns = factor_->columns();
    std::fill_n(group.columns.get(), n_columns * kFeedbackLanes, 0.0f);
    for (std::size_t lane = 0; lane < group.n_rows; ++lane)
        for (std::size_t column = 0; column < n_columns; ++column)
            group.columns[column * kFeedbackLanes + lane] = rows[lane * n_columns + column];
}

/// Weights become errors, as the bytes stand.
void ErrorFeedback::subtract_stored(std::span<const std::byte> bytes, Group& group) const {
    std::vector<float> values(factor_->columns());
    for (std::size_t lane = 0; lane < group.n_rows; ++lane) {
        dequantize(type_, bytes.subspan(lane * row_bytes_), values);
        for (std::size_t column = 0; column < values.size(); ++column)
            group.columns[column * kFeedbackLanes + lane] -= values[column];
    }
}

/// Weights become errors. @returns [lanes] e H eᵀ of each row's errors e
std::vector<double> ErrorFeedback::quantize(Group& group) const {
    group.bytes.resize(group.n_rows * row_bytes_);
    std::vector<double> errors(kFeedbackLanes, 0.0);
    const auto panels = factor_->panels();
    for (std::size_t begin = 0, end = 0; begin < panels.size(); begin = end) {
        const std::size_t first_column = panels[begin].first_column;
        while (end < panels.size() && panels[end].first_column < first_column + block_weights_) ++end;
        const auto of_block = panels.subspan(begin, end - begin);
        quantize_block(first_column, of_block, group);
        for (const FeedbackFactor::Panel& panel : of_block) {
            const float* own = group.columns.get() + panel.first_column * kFeedbackLanes;
            const float* feedback = group.feedback.get() + (panel.first_column - first_column) * kFeedbackLanes;
            float wanted[kPanelValues];
            for (std::size_t at = 0; at < panel.width * kFeedbackLanes; ++at) wanted[at] = own[at] + feedback[at];
            add_output_errors(*factor_, panel, wanted, {group.columns.get(), first_column, panel.first_column}, errors);
        }
    }
    return errors;
}

void ErrorFeedback::quantize_block(std::size_t first_column, std::span<const FeedbackFactor::Panel> panels,
                                   Group& group) const {
    constexpr float kNothing[kPanelValues] = {};
    for (const FeedbackFactor::Panel& panel : panels) {
        alignas(64) float targets[kPanelValues];
        const std::size_t values = panel.width * kFeedbackLanes;
        const std::size_t within = (panel.first_column - first_column) * kFeedbackLanes;
        const float* columns = group.columns.get();
        fill_targets(*factor_, panel, kNothing, {columns, 0, first_column}, targets);
        std::copy_n(targets, values, group.feedback.get() + within);
        for (std::size_t at = 0; at < values; ++at) targets[at] += columns[panel.first_column * kFeedbackLanes + at];
        clamp_targets(targets);
        std::copy_n(targets, values, group.targets.get() + within);
    }
    search_scales(first_column, group);
    if (format_ != nullptr)
        assign_codes(first_column, panels, group);
    else
        assign_points(first_column, panels, group);
}

/// Where a row's block lies that begins at a column.
std::byte* ErrorFeedback::block_at(std::size_t first_column, std::size_t lane, Group& group) const {
    return group.bytes.data() + lane * row_bytes_ + ggml_row_size(type_, static_cast<std::int64_t>(first_column));
}

/// Quantises the targets of a block, each weight counted by what its error will have cost in the end.
void ErrorFeedback::search_scales(std::size_t first_column, Group& group) const {
    std::array<Block, kFeedbackLanes> blocks;
    for (std::size_t lane = 0; lane < group.n_rows; ++lane) {
        float* weights = group.block_rows.data() + lane * block_weights_;
        for (std::size_t i = 0; i < block_weights_; ++i) weights[i] = group.targets[i * kFeedbackLanes + lane];
        blocks[lane] = {.weights = weights,
                        .importance = factor_->column_weights().data() + first_column,
                        .out = block_at(first_column, lane, group)};
    }
    own_(std::span(blocks).first(group.n_rows));
}

void ErrorFeedback::assign_codes(std::size_t first_column, std::span<const FeedbackFactor::Panel> panels,
                                 Group& group) const {
    std::array<GroupScales, kFeedbackLanes> scales{};
    for (std::size_t lane = 0; lane < group.n_rows; ++lane)
        format_->read_scales(block_at(first_column, lane, group), scales[lane]);

    for (const FeedbackFactor::Panel& panel : panels) {
        const std::size_t within = panel.first_column - first_column;
        PanelScales of_panel;
        for (std::size_t lane = 0; lane < kFeedbackLanes; ++lane) {
            of_panel.scale[lane] = scales[lane].scale[within / format_->group_weights];
            of_panel.offset[lane] = scales[lane].offset[within / format_->group_weights];
        }
        alignas(64) float targets[kPanelValues];
        fill_targets(*factor_, panel, group.targets.get() + within * kFeedbackLanes,
                     {group.columns.get(), first_column, panel.first_column}, targets);
        assign_with_feedback(*format_, of_panel, work_of(*factor_, panel, targets),
                             group.columns.get() + panel.first_column * kFeedbackLanes,
                             group.codes.get() + within * kFeedbackLanes);
    }

    std::array<std::uint8_t, kMostBlockWeights> codes;
    for (std::size_t lane = 0; lane < group.n_rows; ++lane) {
        for (std::size_t i = 0; i < block_weights_; ++i) codes[i] = group.codes[i * kFeedbackLanes + lane];
        format_->write_codes(codes.data(), block_at(first_column, lane, group));
    }
}

void ErrorFeedback::assign_points(std::size_t first_column, std::span<const FeedbackFactor::Panel> panels,
                                  Group& group) const {
    std::array<GridCodes, kFeedbackLanes> codes{};
    const std::size_t dims = points_->grid->dims;
    const auto block_of = [&](std::size_t lane) {
        return reinterpret_cast<std::uint8_t*>(block_at(first_column, lane, group));
    };
    for (std::size_t lane = 0; lane < group.n_rows; ++lane) points_->read_scales(block_of(lane), codes[lane]);

    for (const FeedbackFactor::Panel& panel : panels) {
        const std::size_t within = panel.first_column - first_column, of_group = within / points_->group_weights;
        alignas(64) float scales[kFeedbackLanes];
        for (std::size_t lane = 0; lane < kFeedbackLanes; ++lane)
            scales[lane] = ggml_fp16_to_fp32(codes[lane].scale) * SignedGrid::kUnit *
                           static_cast<float>(2 * codes[lane].multipliers[of_group] + 1);
        alignas(64) float targets[kPanelValues];
        fill_targets(*factor_, panel, group.targets.get() + within * kFeedbackLanes,
                     {group.columns.get(), first_column, panel.first_column}, targets);
        PanelPoints chosen;
        assign_points_with_feedback({*points_->grid, scales, factor_->weights(panel)},
                                    work_of(*factor_, panel, targets),
                                    group.columns.get() + panel.first_column * kFeedbackLanes, chosen);
        for (std::size_t lane = 0; lane < group.n_rows; ++lane) {
            for (std::size_t cell = 0; cell < panel.width / dims; ++cell)
                codes[lane].points[within / dims + cell] = static_cast<std::uint16_t>(chosen.points[cell][lane]);
            for (std::size_t i = 0; i < panel.width; ++i) {
                std::uint8_t& signs = codes[lane].signs[(within + i) / 8];
                signs = static_cast<std::uint8_t>(signs | chosen.signs[i][lane] << (within + i) % 8);
            }
        }
    }
    for (std::size_t lane = 0; lane < group.n_rows; ++lane) points_->write(codes[lane], block_of(lane));
}

}  // namespace plasticity
