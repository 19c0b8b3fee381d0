#pragma once

#include <ggml.h>

#include <cstdint>
#include <optional>
#include <string>

#include "io/problem_list.h"
#include "model/architecture.h"
#include "model/tensor_names.h"

namespace plasticity {

/// What the output is widened to with zeros, so that its rows divide into wider blocks. 0: stays as it is.
///
/// The output computes what it would without: heads of zeros add nothing, a feed-forward channel whose gate and up are
/// zero is zero, and a channel of the residual stream that nothing writes stays zero. RMSNorm divides by √(mean square
/// + ε) over more channels then, which norm weights · √(n / padded) and ε · n / padded make good exactly.
struct Padding {
    std::int32_t width = 0;         ///< of the residual stream
    std::int32_t heads = 0;         ///< query heads of every block with attention, spread evenly over its KV groups
    std::int32_t feed_forward = 0;  ///< width of every block's feed-forward part

    bool any() const { return width > 0 || heads > 0 || feed_forward > 0; }
    bool operator==(const Padding&) const = default;
};

/// What a dimension of a weight counts, where padding may widen it.
enum class PaddedAxis { kNone, kWidth, kHeads, kFeedForward };
struct PaddedAxes {
    PaddedAxis rows = PaddedAxis::kNone;
    PaddedAxis cols = PaddedAxis::kNone;
};

/// Norms and biases have one row, along whose columns their elements lie. Weights of experts are never padded.
PaddedAxes padded_axes(const TensorId& id);

/// Elements along an axis once it is padded. @param length  before
std::int64_t padded_length(const Padding& padding, PaddedAxis axis, std::int64_t length, std::int32_t head_dim);

/// Geometry and ε of what is written. @param output  the model with its pruned heads
Architecture padded_architecture(const Architecture& output, const Padding& padding);

/// Why a model of this kind, padded so, would compute something else in stock llama.cpp; nothing where it does not.
/// Sizes do not matter, only which of them are padded.
std::optional<std::string> padding_obstacle(const Architecture& architecture, const Padding& padding);

/// Every size is more than the model's and not absurdly more, and KV groups divide the heads. No obstacle either.
/// @param output  the model with its pruned heads
void check_padding(const Architecture& output, const Padding& padding, ProblemList& problems);

/// Columns of zeros from `boundary` on are exactly zero again when they are read back: what the embedding needs, whose
/// channels enter the residual stream. Other matrices are multiplied with zeros there.
bool keeps_zero_columns(ggml_type type, std::int64_t boundary);

/// How rows fill the blocks of a type: "256-wide blocks", "32-wide blocks: 896 is no multiple of 256", "padded 896 →
/// 1024: 256-wide blocks". @param length  of the row before padding; @param padded  as it is written
std::string alignment_of(ggml_type type, std::int64_t length, std::int64_t padded);

/// "width 1024, heads 16"; empty for none.
std::string padding_text(const Padding& padding);

}  // namespace plasticity
