#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string_view>
#include <vector>

#include "core/progress.h"
#include "engine/backend.h"
#include "engine/offload.h"
#include "engine/placed_tensors.h"
#include "model/model.h"

namespace plasticity {

/// The type that matrices have in memory. Norms and biases are always F32.
enum class WeightPrecision { kStored, kF32, kF16, kBF16 };

/// "f32" | "f16" | "bf16" | "stored". @throws Error (kUsage)
WeightPrecision parse_weight_precision(std::string_view name);
std::string_view weight_precision_name(WeightPrecision precision);

/// One block's weights. A matrix of `rows` × `cols` is a ggml tensor with ne = {cols, rows}; absent ones are nullptr.
/// As stored, rows may end in columns of padding (model/column_padding.h), which count for nothing.
struct LayerWeights {
    LayerGeometry geometry;
    bool rotates = true;  ///< queries and keys by position
    bool slides = false;  ///< queries see a window of tokens
    ggml_tensor* attention_norm = nullptr;
    ggml_tensor *query = nullptr, *query_bias = nullptr;
    ggml_tensor *key = nullptr, *key_bias = nullptr;
    ggml_tensor *query_norm = nullptr, *key_norm = nullptr;  ///< {head_dim}
    ggml_tensor *value = nullptr, *value_bias = nullptr;
    ggml_tensor *attention_output = nullptr, *attention_output_bias = nullptr;
    ggml_tensor* attention_post_norm = nullptr;
    ggml_tensor* feed_forward_norm = nullptr;
    ggml_tensor* feed_forward_post_norm = nullptr;
    ggml_tensor *gate = nullptr, *up = nullptr, *down = nullptr;
};

/// What gradients are multiplied by on their way back (build_product_back).
enum class BackwardMatrices {
    kNone,        ///< nothing goes back
    kTransposed,  ///< copies with ne = {rows, cols}: a product against them is as fast as one forward
    kSame,        ///< the matrices themselves, which one kernel reads across just as fast (engine/bf16_product.h)
};

/// The same matrices in that form.
struct BackwardLayer {
    ggml_tensor *query = nullptr, *key = nullptr, *value = nullptr, *attention_output = nullptr;
    ggml_tensor *gate = nullptr, *up = nullptr, *down = nullptr;
};

/// What tokens pass through, but for the output matrix.
struct PassWeights {
    const Architecture& architecture;
    std::span<const LayerWeights> layers;
    ggml_tensor* token_embedding;
    ggml_tensor* output_norm;
    ggml_tensor* rope_factors;  ///< nullptr: none
};

struct WeightOptions {
    WeightPrecision precision = WeightPrecision::kStored;
    BackwardMatrices backward = BackwardMatrices::kNone;  ///< of kStored kNone: quantised blocks have no transpose
    bool streamed = false;  ///< parts that no device holds are in memory only while Weights is told to hold them
    Offload offload = {};   ///< what the backend's device holds; a matrix that it cannot multiply by stays behind
};

/// Matrices as they are multiplied by forward, or with what gradients are multiplied by, too.
enum class MatrixOrders { kForward, kBoth };

/// The type and row length that a weight is held with: rows of stored blocks keep their padding.
ggml_type held_type(const ModelTensor& tensor, WeightPrecision precision);
std::int64_t held_row_length(const ModelTensor& tensor, ggml_type type);

/// Bytes of the weights of every part of a model, as these options hold them; `working` is left to the caller.
/// @throws Error (kUsage for a model that this engine does not run)
OffloadSizes weight_sizes(const Model& model, const WeightOptions& options);

class WeightLoader;

/// A model's weights in the memory of a backend. What was loaded never changes, but other matrices can stand in for it.
class Weights {
public:
    /// @param model    must outlive streamed weights
    /// @param backend  must outlive streamed weights
    /// @throws Error (kMissing, kMalformed, kIo; kUsage for a model that this engine does not run), Interrupted
    Weights(const Model& model, const Backend& backend, const WeightOptions& options, Progress& progress);
    ~Weights();
    Weights(const Weights&) = delete;
    Weights& operator=(const Weights&) = delete;

    /// Of streamed weights: brings a part into memory, if it is not there, in the place of the one before. Otherwise
    /// nothing happens. @throws Error (kMalformed, kIo), Interrupted
    void hold_embedding();
    void hold_layer(int index, MatrixOrders orders);
    void hold_output(MatrixOrders orders);

    const Architecture& architecture() const { return architecture_; }
    TensorId output_id() const;  ///< the matrix that gives logits: a tied embedding, where there is no other
    const LayerWeights& layer(int index) const { return layers_[static_cast<std::size_t>(index)]; }
    PassWeights pass() const { return {architecture_, layers_, token_embedding_, output_norm_, rope_factors_}; }
    const BackwardLayer& backward(int index) const { return backward_[static_cast<std::size_t>(index)]; }

    /// Puts `matrix`, which the caller keeps alive, in the place of the loaded one; nullptr puts that back.
    /// @throws Error (kInternal) where the model has no such matrix, or one of another shape
    void replace(const TensorId& id, ggml_tensor* matrix);

    /// Other values for a vector. @throws Error (kInternal) where the model has none such that stays in memory, or one
    /// of another length
    void set_vector(const TensorId& id, std::span<const float> values);

    ggml_tensor* token_embedding() const { return token_embedding_; }
    ggml_tensor* output_norm() const { return output_norm_; }
    ggml_tensor* output() const { return output_ != nullptr ? output_ : token_embedding_; }
    /// The same, whatever stands in for it.
    ggml_tensor* loaded_output() const { return loaded_output_; }
    ggml_tensor* output_backward() const { return output_backward_; }
    ggml_tensor* rope_factors() const { return rope_factors_; }  ///< nullptr: none
    /// Of what stays in memory.
    std::size_t bytes() const { return tensors_.bytes(); }
    std::size_t bytes_in(Place place) const { return tensors_.bytes_in(place); }

private:
    friend class WeightLoader;
    ggml_tensor** slot_of(const TensorId& id);
    ggml_tensor** backward_slot_of(const TensorId& id);

    Architecture architecture_;
    PlacedTensors tensors_;
    std::unique_ptr<WeightLoader> stream_;  ///< nullptr: all weights stay
    std::vector<LayerWeights> layers_;
    std::vector<BackwardLayer> backward_;
    ggml_tensor* token_embedding_ = nullptr;
    ggml_tensor* output_norm_ = nullptr;
    ggml_tensor* output_ = nullptr;
    ggml_tensor* loaded_output_ = nullptr;
    ggml_tensor* output_backward_ = nullptr;
    ggml_tensor* rope_factors_ = nullptr;
};

}  // namespace plasticity
