#pragma once

#include <cstddef>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "artifact/gram.h"
#include "artifact/statistics.h"
#include "compress/gram_work.h"
#include "compress/tensor_feedback.h"
#include "compress/tile.h"
#include "quant/block_quantizer.h"

namespace plasticity {

/// Mean squared activation of each input channel of the output, 0 of channels that only pad; empty when the statistics
/// (nullptr: none) do not know the tensor.
/// @throws Error (kMalformed) when the statistics are of another width
std::vector<float> importance_of(const OutputTensor& tensor, const Statistics* statistics);

/// What is known of the model's activations.
struct Knowledge {
    const Statistics* statistics = nullptr;  ///< importance weights; nullptr: none
    GramSource gram;                         ///< for compensation (quant/compensation.h) and error feedback
};

/// How one tensor gets from its source's bytes to its output's.
class TensorEncoder {
public:
    /// @param error_feedback  unless the recipe turns it off
    /// @throws Error (kMalformed) when the statistics, the Gram matrix or the type do not fit the tensor
    TensorEncoder(const OutputTensor& tensor, const Knowledge& knowledge, bool error_feedback);

    /// Of its input's Gram matrix.
    const std::optional<GramNeed>& need() const { return need_; }
    bool compensates() const { return need_ && need_->compensation.is_possible(); }
    /// nullptr: without.
    const TensorFeedback* feedback() const { return feedback_.get(); }

    /// Before the first tile of a tensor with a need. @param work  on that need
    void begin(const GramWork& work);
    /// After the last: its share of the work takes no memory any more.
    void end();

    /// Reads a tile and turns it into the bytes that are written. Thread-safe.
    /// @throws Error (kMalformed naming tensor, row and column of a weight that is not finite, kIo)
    void encode(const Model& model, const Tile& tile, TileScratch& scratch, std::vector<std::byte>& out) const;

private:
    void copy_stored(const Model& model, const Tile& tile, std::vector<std::byte>& out) const;

    std::span<const float> read_rows(const Model& model, const Tile& tile, TileScratch& scratch) const;

    const OutputTensor* tensor_;
    std::optional<GramNeed> need_;
    std::optional<BlockQuantizer> quantizer_;  ///< nothing: bytes are copied as they are
    std::shared_ptr<const Compensation> compensation_;
    std::unique_ptr<TensorFeedback> feedback_;
};

}  // namespace plasticity
