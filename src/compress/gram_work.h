#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>

#include "artifact/gram.h"
#include "artifact/output_layout.h"
#include "quant/compensation.h"
#include "quant/feedback_factor.h"

namespace plasticity {

/// One thing that a matrix asks of its input's Gram matrix.
struct GramUse {
    bool wanted = false;
    /// Channels that are worked on together, those of other blocks counting as independent: a divisor of the file's
    /// own block, smaller where that would take too much memory; nothing where no useful one takes little enough.
    std::optional<std::int64_t> block;

    bool is_possible() const { return wanted && block; }
};

/// What a matrix asks of the Gram matrix of its input. Matrices that ask it of the same channels can share the answer.
struct GramNeed {
    const GramInput* input = nullptr;
    std::span<const std::int64_t> kept;  ///< channels that the output keeps, kZeros between them; empty: all
    GramUse compensation;
    GramUse feedback;

    bool is_like(const GramNeed& other) const;
    bool is_possible() const { return compensation.is_possible() || feedback.is_possible(); }
};

/// @param error_feedback  unless the recipe turns it off
/// @returns nothing where the tensor asks for nothing, or the file does not know its input
/// @throws Error (kMalformed) when the Gram matrix is of another width
std::optional<GramNeed> gram_need(const OutputTensor& tensor, const GramSource& gram, bool error_feedback);

/// The answer. nullptr: not asked for.
struct GramWork {
    std::shared_ptr<const Compensation> compensation;
    std::shared_ptr<const FeedbackFactor> factor;
};

/// @throws Error (kMalformed, kIo), Interrupted
GramWork work_on(const GramNeed& need, const GramFile& gram, int n_threads);

}  // namespace plasticity
