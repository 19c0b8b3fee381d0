#pragma once

#include <memory>
#include <span>
#include <vector>

#include "model/model.h"

namespace plasticity {

/// Factors > 0 on what the matrices of a block read, which whatever feeds those matrices takes back: where nothing
/// mixes channels in between, the model's function stays as it is. Empty: all are 1.
struct BlockScales {
    std::vector<float> attention_input;     ///< [width] on columns of q, k, v; the norm before them is divided
    std::vector<float> values;              ///< [KV groups · head_dim] on columns of o; rows of v are divided
    std::vector<float> feed_forward_input;  ///< [width] on columns of gate and up; the norm before them is divided
    std::vector<float> channels;            ///< [n_ff] on columns of down; rows of up are divided
};

/// What they do to each weight.
class ChannelScales {
public:
    ChannelScales(const Architecture& architecture, std::vector<BlockScales> blocks);

    /// Factors on the columns of a matrix; empty: none.
    std::span<const float> columns(const TensorId& id) const;
    /// Divisors of the rows of a matrix, or of the elements of a vector; empty: none.
    std::span<const float> divisors(const TensorId& id) const;

private:
    std::vector<BlockScales> blocks_;
    std::vector<std::vector<float>> heads_;  ///< of each block: values as the query heads read them
};

/// The model with its weights scaled. Scaled ones read as F32.
std::unique_ptr<Model> with_channel_scales(std::unique_ptr<Model> model, std::shared_ptr<const ChannelScales> scales);

}  // namespace plasticity
