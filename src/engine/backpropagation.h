#pragma once

#include <cstdint>
#include <functional>
#include <initializer_list>
#include <span>
#include <vector>

#include "core/progress.h"
#include "engine/backend.h"
#include "engine/curvature.h"
#include "engine/lora_graph.h"
#include "engine/lora_training.h"
#include "engine/weights.h"
#include "model/model.h"

namespace plasticity {

struct LayerForward;
struct LayerGradients;

/// One training example: token ids, and which of them the loss asks for.
struct Example {
    std::vector<std::int32_t> tokens;   ///< at least 2
    std::vector<std::uint8_t> targets;  ///< [tokens]: 1 where the token is to be predicted from those before it
    std::int64_t n_targets() const;     ///< targets[0] never counts
};

/// What one example says of every query head.
struct ExampleGradients {
    double loss = 0;                         ///< mean cross-entropy of the targets, nats
    std::vector<std::vector<double>> gates;  ///< [layer][query head]: ∂loss/∂gate at gate = 1
};

/// Sees what every matrix reads. @param matrices  the weights that read these rows
/// @param rows  [tokens][channels] F32, valid during the call
using ActivationObserver =
    std::function<void(std::span<const TensorId> matrices, std::span<const float> rows, std::int64_t channels)>;

struct BackpropagationOptions {
    WeightPrecision precision = WeightPrecision::kF16;  ///< not kStored
    int threads = 0;
    BackendChoice backend = {.device = "cpu", .gpu_layers = std::nullopt};
    std::int64_t longest_example = 512;  ///< tokens; how much memory a device keeps free for them
};

/// Exact gradients of the loss through the frozen network, one block at a time: a forward pass that keeps only what
/// enters each block, then from the last block to the first the block's forward pass again and its backward pass.
/// Memory beside the weights (held in both orders): n_layer · n_embd · tokens floats, and one block's activations.
/// Not thread-safe.
class Backpropagation {
public:
    /// Loads the weights. @throws Error (kMalformed, kIo), Interrupted
    Backpropagation(const Model& model, const BackpropagationOptions& options, Progress& progress);

    /// From now on the network is the one with this adapter, whose values the caller may change between two calls.
    /// @param adapter  must outlive its use; nullptr: none
    void use_adapter(const LoraAdapter* adapter) { adapter_ = adapter; }

    /// @param training  takes the adapter's gradients, too; nullptr: nobody does
    /// @throws Error (kMalformed when an example has no targets or ids outside the vocabulary), Interrupted
    ExampleGradients run(const Example& example, const ActivationObserver& observer,
                         const LoraTraining* training = nullptr);

    /// Backpropagates once more from labels drawn from the model's own distribution in place of the example's targets.
    /// Starts from what the last run() left, and takes about its time. Deterministic in seed and example.
    /// @param example   the one that run() was just given
    /// @param observer  matrix and gates set
    void curvature(const Example& example, std::uint64_t seed, const CurvatureObserver& observer);

    /// The same loss with any factors on the heads' outputs, forward only. For checks by finite differences.
    /// @param gates  [layer][query head]
    double loss(const Example& example, const std::vector<std::vector<float>>& gates);
    /// The loss alone, without dropout: forward only.
    double loss(const Example& example);

    const Architecture& architecture() const { return weights_.architecture(); }
    const std::string& backend_label() const { return backend_.label(); }

private:
    using Gates = std::vector<std::vector<float>>;
    /// Positions whose logits exist at once: [kLossRows, n_vocab] floats.
    static constexpr std::int64_t kLossRows = 128;
    struct Prediction {
        ggml_tensor* hidden;         ///< {n_embd, n}: what the output matrix reads; held only when asked for
        ggml_tensor* probabilities;  ///< {n_vocab, n}
    };

    void require_usable(const Example& example) const;
    std::int64_t window_of(const LayerWeights& layer) const;
    void embed(const Example& example);
    double forward_loss(const Example& example, const Gates* gates);
    void forward_layer(int layer, const Gates* gates, const ActivationObserver& observer);
    double loss_and_gradient(const Example& example, bool want_gradient, const ActivationObserver& observer);
    Prediction predict(std::int64_t first, std::int64_t n, bool keep_hidden);
    TensorId output_matrix() const;
    double subtract_targets(const Example& example, std::int64_t first, std::int64_t n,
                            ggml_tensor* probabilities) const;
    void backward_output(std::int64_t first, std::int64_t n, ggml_tensor* logits_gradient);
    template <typename Rows>
    auto rows_of(Rows& values, std::int64_t first, std::int64_t n) const;
    std::vector<double> backward_layer(int layer, const CurvatureObserver* observer, const LoraTraining* training);
    void add_lora_gradients(int layer, const LayerGradients& gradients, const LoraTraining& training) const;
    std::vector<double> gate_slopes(const LayerWeights& weights, const LayerForward& forward,
                                    const LayerGradients& gradients) const;
    void draw_labels(Example& drawn, std::int64_t first, std::uint64_t seed, std::span<float> probabilities) const;
    std::vector<double> add_output_curvature(std::span<const float> hidden, std::span<const float> probabilities,
                                             std::vector<double>& rows, std::vector<double>& columns) const;
    void show_layer_curvature(int layer, const LayerForward& forward, const LayerGradients& gradients,
                              const CurvatureObserver& observer);
    void show_weight_curvature(TensorId matrix, std::span<const float> inputs, const ggml_tensor* gradient,
                               const CurvatureObserver& observer);
    void show_channel_slopes(int layer, const LayerForward& forward, const LayerGradients& gradients,
                             const CurvatureObserver& observer) const;
    void show_inputs(std::span<const TensorId> matrices, std::span<const float> rows,
                     std::initializer_list<const ggml_tensor*> gradients, const CurvatureObserver& observer) const;
    void show_lookup_curvature(const Example& example, const CurvatureObserver& observer);
    void rescale_gradient();

    Backend backend_;
    Offload offload_;
    Weights weights_;
    GraphWorkspace graph_;
    GraphWorkspace back_graph_;
    std::int64_t n_tokens_ = 0;
    std::vector<std::vector<float>>
        inputs_;                   ///< [layer + 1][tokens · n_embd]: what enters each block, and the last norm
    std::vector<float> gradient_;  ///< [tokens · n_embd]: ∂L/∂(what enters the block above) ÷ gradient_scale_
    double gradient_scale_ = 1;
    const LoraAdapter* adapter_ = nullptr;
    LoraDropout dropout_{};  ///< of the last run(), so that curvature() goes through the same network
};

}  // namespace plasticity
