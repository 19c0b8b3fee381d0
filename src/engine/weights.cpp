#include "engine/weights.h"

#include <fmt/format.h>

#include <utility>

#include "core/error.h"
#include "engine/weight_loader.h"

namespace plasticity {
namespace {

void require_dense(const Architecture& architecture) {
    if (architecture.experts.count > 0)
        throw Error(ErrorKind::kUsage,
                    fmt::format("engine: {} is a mixture of experts, which this program plans and compresses but "
                                "does not run; run it with llama.cpp",
                                architecture.name));
}

/// Where a block keeps a matrix; nullptr where it has no such.
template <typename Block>
ggml_tensor** matrix_slot_in(Block& block, TensorRole role) {
    using R = TensorRole;
    switch (role) {
        case R::kQuery:
            return &block.query;
        case R::kKey:
            return &block.key;
        case R::kValue:
            return &block.value;
        case R::kAttentionOutput:
            return &block.attention_output;
        case R::kGate:
            return &block.gate;
        case R::kUp:
            return &block.up;
        case R::kDown:
            return &block.down;
        default:
            return nullptr;
    }
}

ggml_tensor** bias_slot_in(LayerWeights& block, TensorRole role) {
    using R = TensorRole;
    switch (role) {
        case R::kQuery:
            return &block.query_bias;
        case R::kKey:
            return &block.key_bias;
        case R::kValue:
            return &block.value_bias;
        case R::kAttentionOutput:
            return &block.attention_output_bias;
        default:
            return nullptr;
    }
}

ggml_tensor** slot_in(LayerWeights& block, const TensorId& id) {
    using R = TensorRole;
    if (id.is_bias) return bias_slot_in(block, id.role);
    switch (id.role) {
        case R::kAttentionNorm:
            return &block.attention_norm;
        case R::kQueryNorm:
            return &block.query_norm;
        case R::kKeyNorm:
            return &block.key_norm;
        case R::kAttentionPostNorm:
            return &block.attention_post_norm;
        case R::kFeedForwardNorm:
            return &block.feed_forward_norm;
        case R::kFeedForwardPostNorm:
            return &block.feed_forward_post_norm;
        default:
            return matrix_slot_in(block, id.role);
    }
}

}  // namespace

WeightPrecision parse_weight_precision(std::string_view name) {
    for (const auto precision :
         {WeightPrecision::kStored, WeightPrecision::kF32, WeightPrecision::kF16, WeightPrecision::kBF16})
        if (weight_precision_name(precision) == name) return precision;
    throw Error(ErrorKind::kUsage, fmt::format("precision: got '{}'; expected f32, f16 or bf16", name));
}

std::string_view weight_precision_name(WeightPrecision precision) {
    switch (precision) {
        case WeightPrecision::kF32:
            return "f32";
        case WeightPrecision::kF16:
            return "f16";
        case WeightPrecision::kBF16:
            return "bf16";
        case WeightPrecision::kStored:
            break;
    }
    return "stored";
}

ggml_type held_type(const ModelTensor& tensor, WeightPrecision precision) {
    if (tensor.is_vector) return GGML_TYPE_F32;
    switch (precision) {
        case WeightPrecision::kF32:
            return GGML_TYPE_F32;
        case WeightPrecision::kF16:
            return GGML_TYPE_F16;
        case WeightPrecision::kBF16:
            return GGML_TYPE_BF16;
        case WeightPrecision::kStored:
            break;
    }
    return tensor.type;
}

std::int64_t held_row_length(const ModelTensor& tensor, ggml_type type) {
    return type == tensor.type ? tensor.row_length() : tensor.cols;
}

OffloadSizes weight_sizes(const Model& model, const WeightOptions& options) {
    require_dense(model.architecture());
    OffloadSizes sizes{.layers = std::vector<std::uint64_t>(model.architecture().layers.size()),
                       .tied = model.find({TensorRole::kOutput}) == nullptr};
    for (const ModelTensor& tensor : model.tensors()) {
        const ggml_type type = held_type(tensor, options.precision);
        const auto rows = static_cast<std::uint64_t>(tensor.rows);
        std::uint64_t bytes = rows * ggml_row_size(type, held_row_length(tensor, type));
        if (options.backward == BackwardMatrices::kTransposed && !tensor.is_vector) bytes *= 2;
        const TensorRole role = tensor.id.role;
        if (tensor.id.layer >= 0)
            sizes.layers[static_cast<std::size_t>(tensor.id.layer)] += bytes;
        else if (role != TensorRole::kRopeFrequencies && (role != TensorRole::kTokenEmbedding || sizes.tied))
            sizes.output += bytes;
    }
    return sizes;
}

Weights::Weights(const Model& model, const Backend& backend, const WeightOptions& options, Progress& progress)
    : architecture_(model.architecture()) {
    require_dense(architecture_);
    for (int index = 0; index < architecture_.n_layer(); ++index)
        layers_.push_back({.geometry = architecture_.layers[static_cast<std::size_t>(index)],
                           .rotates = architecture_.rotates(index),
                           .slides = architecture_.slides(index)});
    backward_.resize(options.backward != BackwardMatrices::kNone ? layers_.size() : 0);
    auto loader = std::make_unique<WeightLoader>(model, backend, options);
    loader->load(*this, progress);
    loaded_output_ = output();
    if (options.streamed) stream_ = std::move(loader);
}

Weights::~Weights() = default;

void Weights::hold_embedding() {
    if (stream_) stream_->hold(*this, {{TensorRole::kTokenEmbedding}, MatrixOrders::kForward});
}

void Weights::hold_layer(int index, MatrixOrders orders) {
    if (stream_) stream_->hold(*this, {WeightLoader::block(index), orders});
}

void Weights::hold_output(MatrixOrders orders) {
    if (stream_) stream_->hold(*this, {output_id(), orders});
}

TensorId Weights::output_id() const {
    return {architecture_.tied_embeddings ? TensorRole::kTokenEmbedding : TensorRole::kOutput};
}

ggml_tensor** Weights::slot_of(const TensorId& id) {
    switch (id.role) {
        case TensorRole::kTokenEmbedding:
            return &token_embedding_;
        case TensorRole::kOutputNorm:
            return &output_norm_;
        case TensorRole::kOutput:
            return &output_;
        case TensorRole::kRopeFrequencies:
            return &rope_factors_;
        default:
            break;
    }
    if (id.layer < 0 || std::cmp_greater_equal(id.layer, layers_.size())) return nullptr;
    return slot_in(layers_[static_cast<std::size_t>(id.layer)], id);
}

/// Of matrices that gradients pass through.
ggml_tensor** Weights::backward_slot_of(const TensorId& id) {
    if (id.is_bias) return nullptr;
    if (id == output_id()) return &output_backward_;
    if (id.layer < 0 || std::cmp_greater_equal(id.layer, backward_.size())) return nullptr;
    return matrix_slot_in(backward_[static_cast<std::size_t>(id.layer)], id.role);
}

void Weights::replace(const TensorId& id, ggml_tensor* matrix) {
    ggml_tensor** slot = slot_of(id);
    ggml_tensor* original = slot != nullptr ? tensors_.find(gguf_name(id).c_str()) : nullptr;
    if (original == nullptr || (matrix != nullptr && !ggml_are_same_shape(original, matrix)))
        throw Error(ErrorKind::kInternal, fmt::format("weights: nothing of this shape stands for {}", gguf_name(id)));
    *slot = matrix != nullptr ? matrix : original;
}

void Weights::set_vector(const TensorId& id, std::span<const float> values) {
    ggml_tensor* const* slot = slot_of(id);
    if (stream_ || slot == nullptr || *slot == nullptr || (*slot)->type != GGML_TYPE_F32 ||
        std::cmp_not_equal(ggml_nelements(*slot), values.size()))
        throw Error(ErrorKind::kInternal,
                    fmt::format("weights: no vector of {} entries stands for {}", values.size(), gguf_name(id)));
    ggml_backend_tensor_set(*slot, values.data(), 0, values.size_bytes());
}

}  // namespace plasticity
