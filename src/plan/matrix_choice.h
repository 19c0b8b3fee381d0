#pragma once

#include <ggml.h>

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "model/column_padding.h"
#include "model/model.h"
#include "plan/alignment.h"
#include "plan/head_pruning.h"
#include "plan/request.h"
#include "plan/tiers.h"

namespace plasticity {

/// One matrix of the output, the types it may have and the one it has now.
struct MatrixChoice {
    TensorId id;
    std::int64_t rows = 0;
    std::int64_t cols = 0;
    TensorShape kept;               ///< rows and columns without padding
    bool pads_columns = false;      ///< rows are filled up to whole blocks of the type, beyond `cols`
    std::vector<ggml_type> ladder;  ///< most bits first; one entry where the user insists on a type
    std::size_t start = 0;          ///< where the tier begins in the ladder
    std::size_t level = 0;          ///< where it is now
    double sensitivity = 1;
    Tier tier = Tier::kHigh;
    double mean_score = 0;         ///< of the heads that the tier was derived from
    std::vector<double> measured;  ///< policy optimal: damage at every level, nats per token; empty: estimated
    double weight = 1;             ///< damage counts so many times in choosing types; what is stated does not change
    std::string override_pattern;  ///< of --tensor-type; empty: none

    ggml_type type() const { return ladder[level]; }
    bool can_demote() const { return level + 1 < ladder.size(); }
    bool can_promote() const { return level > 0; }
    std::int64_t parameters() const { return kept.rows * kept.cols; }
    std::int64_t row_length(ggml_type of) const { return pads_columns ? whole_blocks(of, cols) : cols; }
    /// Of rows that are longer than `cols`; 0: none is.
    std::int64_t padded_columns() const { return row_length(type()) == cols ? 0 : row_length(type()); }
    /// How rows lie in the type's blocks, in words.
    std::string alignment() const { return alignment_of(type(), kept.cols, row_length(type())); }
    std::uint64_t bytes_as(ggml_type of) const {
        return ggml_row_size(of, row_length(of)) * static_cast<std::uint64_t>(rows);
    }
    std::uint64_t bytes_at(std::size_t at) const { return bytes_as(ladder[at]); }
    std::uint64_t bytes() const { return bytes_at(level); }
    double damage_at(std::size_t at) const;
    double damage() const { return damage_at(level); }
    double weighed_damage_at(std::size_t at) const { return weight * damage_at(at); }
};

/// Squared error that a type leaves, as a share of the weights' squares: 2.9e-5 for q8_0, 0.017 for q3_K.
/// Measured with ggml's quantisers on normally distributed rows of 1024 with importance weights; types outside the
/// ladders count as uniform quantisers, 4^(−bits per weight).
double relative_error(ggml_type type);

/// Predicted damage of a matrix: sensitivity · parameters · relative error of its type.
///
/// A heuristic, in no unit, good for comparing choices within one plan: squared errors of weights add up, and the
/// sensitivities below are set by hand. Policy `optimal` measures damage instead (plan/damage.h).
double predicted_damage(double sensitivity, std::int64_t parameters, ggml_type type);

/// How much an error in this matrix matters beside others of its block. Value, output and down projections write into
/// the residual stream without a softmax or a gate in between that would dampen errors.
double role_sensitivity(TensorRole role);

/// The same by the mean score of the heads that the matrix serves: 0.5 for unused blocks to 1.5 for the most critical.
double score_sensitivity(double mean_score);

/// Every matrix of the output at its tier's start type, in the order of the model's tensors.
/// Shapes are those after pruning and padding, from which the ladder follows: fewer heads are fewer columns of o. Where
/// columns are padded the ladder holds what is left of wide types on longer rows and 32-wide types on rows as they are,
/// once those are dropped that another beats in both bytes and error.
std::vector<MatrixChoice> start_choices(const Model& model, const HeadPruning& heads, const PlanGoal& goal,
                                        const Alignment& alignment = {});

/// A matrix' shapes, without types; rows 0 where nothing of it stays.
MatrixChoice shaped_choice(const ModelTensor& tensor, const HeadPruning& heads, const Alignment& alignment,
                           std::int32_t head_dim);

/// Of a tensor of the model once heads and channels are pruned, before padding.
TensorShape pruned_shape(const ModelTensor& tensor, const HeadPruning& heads, std::int32_t head_dim);

}  // namespace plasticity
