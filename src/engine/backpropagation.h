#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <initializer_list>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "core/progress.h"
#include "engine/backend.h"
#include "engine/curvature.h"
#include "engine/layer_backward.h"
#include "engine/lora_graph.h"
#include "engine/lora_training.h"
#include "engine/scoring_memory.h"
#include "engine/stash.h"
#include "engine/weights.h"
#include "model/model.h"

namespace plasticity {

/// One training example: token ids, and which of them the loss asks for.
struct Example {
    std::vector<std::int32_t> tokens;   ///< at least 2
    std::vector<std::uint8_t> targets;  ///< [tokens]: 1 where the token is to be predicted from those before it
    std::int64_t n_targets() const;     ///< targets[0] never counts
};

/// What one example says of every query head.
struct ExampleGradients {
    double loss = 0;                         ///< mean of the targets, nats: cross-entropy, or divergence from a teacher
    std::vector<std::vector<double>> gates;  ///< [layer][query head]: ∂loss/∂gate at gate = 1
};

/// Sees what every matrix reads. @param matrices  the weights that read these rows
/// @param rows  [tokens][channels] F32, valid during the call
using ActivationObserver =
    std::function<void(std::span<const TensorId> matrices, std::span<const float> rows, std::int64_t channels)>;

/// Sees ∂loss/∂ of a norm's weight or a bias, in the model's own order. @param gradient  [entries]
using VectorObserver = std::function<void(const TensorId& vector, std::span<const double> gradient)>;

/// Logits of another model for positions [first, first + n) of an example. @param logits  resized to [n][n_vocab]
using TeacherLogits = std::function<void(std::int64_t first, std::int64_t n, std::vector<float>& logits)>;

struct BackpropagationOptions {
    WeightPrecision precision = WeightPrecision::kF16;  ///< not kStored
    int threads = 0;
    BackendChoice backend = {.device = "cpu", .gpu_layers = std::nullopt};
    std::int64_t longest_example = 512;         ///< tokens; how much memory is kept free for them
    std::optional<std::uint64_t> memory_limit;  ///< bytes that the process may have; nothing: as many as it likes
    std::uint64_t reserved_memory = 0;          ///< of those, what others take
    std::filesystem::path spill_folder = ".";   ///< where activations lie that the limit has no room for
};

/// An example on its way through the network, and what it is asked for beside its gradients.
struct Visit {
    const Example* example = nullptr;
    LoraDropout dropout{};
    bool is_observed = false;                     ///< shows its activations
    std::optional<std::uint64_t> curvature_seed;  ///< of labels drawn from the model's own distribution, to be
                                                  ///< backpropagated in place of the targets, too
    const TeacherLogits* teacher = nullptr;       ///< the loss is KL(teacher ‖ model) where tokens are targets
};

/// Who sees what; members may be empty.
struct SweepObservers {
    ActivationObserver activations;
    CurvatureObserver curvature;
    VectorObserver vectors{};                      ///< of norms, biases and, where the network has some, row scales
    std::function<void(double share)> progressed;  ///< of the sweep's work, after each part of it
};

/// Exact gradients of the loss through the frozen network, one block at a time: a forward pass that keeps only what
/// enters each block, then from the last block to the first the block's forward pass again and its backward pass.
/// Memory beside the weights (held in both orders but for BF16, see BackwardMatrices): (n_layer + 3) · n_embd floats a
/// token, and one block's activations. Where there is room for the activations of all blocks, they are kept, and no
/// forward pass is computed again. Under a memory limit the weights pass through memory a part at a time, read twice
/// for each sweep, while a group of examples waits at the boundary; results are the same to the bit. Not thread-safe.
class Backpropagation {
public:
    /// Loads the weights that stay. @param model  must outlive this where there is a memory limit
    /// @throws Error (kMalformed, kIo; kInfeasible where the limit is too low), Interrupted
    Backpropagation(const Model& model, const BackpropagationOptions& options, Progress& progress);

    /// From now on the network is the one with this adapter, whose values the caller may change between two calls.
    /// @param adapter  must outlive its use; nullptr: none
    void use_adapter(const LoraAdapter* adapter) { adapter_ = adapter; }

    /// From now on rows of matrices are multiplied by these factors, which the caller may change between two calls.
    /// @param scales  must outlive its use; nullptr: none
    void use_row_scales(const RowScales* scales) { row_scales_ = scales; }

    /// Takes examples through the network together, a block after the other. Whatever is shown of one matrix is shown
    /// in the examples' order, and all gradients are those of one example after the other.
    /// @param training  takes the adapter's gradients, too; nullptr: nobody does
    /// @returns in the examples' order
    /// @throws Error (kMalformed when an example has no targets or ids outside the vocabulary; kIo), Interrupted
    std::vector<ExampleGradients> sweep(std::span<const Visit> visits, const SweepObservers& observers,
                                        const LoraTraining* training = nullptr);
    /// One example by itself.
    ExampleGradients run(const Example& example, const ActivationObserver& observer);

    /// Examples of up to so many tokens together are best swept at once; 0: each by itself.
    std::int64_t tokens_at_once() const { return memory_.tokens_at_once; }

    /// The same loss with any factors on the heads' outputs, forward only. For checks by finite differences.
    /// @param gates  [layer][query head]
    double loss(const Example& example, const std::vector<std::vector<float>>& gates);
    /// The losses alone: forward only.
    std::vector<double> losses(std::span<const Visit> visits);
    /// What every matrix reads in these examples, all of one block before the next, shown in their order, without
    /// dropout: forward only, and no logits. @param progressed  takes the share that is done, block after block
    void observe(std::span<const Example> examples, const ActivationObserver& observer,
                 const std::function<void(double share)>& progressed);

    /// Other values for a norm's weight or a bias, of weights that stay in memory.
    /// @throws Error (kInternal) where there is no such vector, one of another length, or weights pass through memory
    void set_vector(const TensorId& vector, std::span<const float> values) { weights_.set_vector(vector, values); }

    const Architecture& architecture() const { return weights_.architecture(); }
    const std::string& backend_label() const { return backend_.label(); }

private:
    using Gates = std::vector<std::vector<float>>;

    /// A gradient on its way down: what waits in the stash, times `scale`, is ∂L/∂(what enters the block above).
    struct Signal {
        std::size_t slot = 0;
        double scale = 1;
    };
    /// A visit under way. What enters block l waits in slot first_slot + l, what enters the last norm behind them; of
    /// one that only goes forward, all in its first.
    struct Passage {
        Visit visit;
        bool is_kept = false;  ///< its forward passes, by being the only one under way
        bool returns = true;   ///< for gradients
        std::size_t first_slot = 0;
        Signal targets, drawn;
        ExampleGradients result;

        const Example& example() const { return *visit.example; }
        std::int64_t n_tokens() const { return std::ssize(visit.example->tokens); }
    };
    /// A block's passes, once they have run.
    struct LayerRun {
        int layer;
        std::int64_t n_tokens;
        std::int64_t n_targets;
        double scale;  ///< of the gradients
        const LayerForward& forward;
        const LayerGradients& gradients;
    };
    /// A block's forward pass that is kept for its backward pass.
    struct KeptLayer {
        GraphWorkspace graph;
        LayerForward forward{};
    };
    struct Prediction {
        ggml_tensor* hidden;         ///< {n_embd, n}: what the output matrix reads; held only when asked for
        ggml_tensor* probabilities;  ///< {n_vocab, n}
    };

    void require_usable(const Example& example) const;
    std::vector<Passage> begin(std::span<const Visit> visits);
    std::vector<Passage> begin_forward(std::span<const Visit> visits);
    void forward(std::vector<Passage>& passages, const Gates* gates, const SweepObservers& observers, double work);
    std::size_t slot_before(const Passage& passage, int layer) const;
    std::size_t last_slot(const Passage& passage) const { return slot_before(passage, architecture().n_layer()); }
    GraphScope scope_of(const GraphWorkspace& graph) const;
    GraphScope scope_of_layer(const GraphWorkspace& graph, ggml_tensor* positions, const LoraInputs& lora,
                              const RowScaleInputs& row_scales) const;
    std::int64_t window_of(const LayerWeights& layer, std::int64_t n_tokens) const;
    void embed(const Passage& passage);
    void forward_layer(const Passage& passage, int layer, const Gates* gates, const ActivationObserver& observer);
    int backward_cost() const { return kept_.empty() ? 2 : 1; }  ///< of a block, in forward passes
    /// Of an example, with what the output takes.
    double sweep_cost() const { return architecture().n_layer() * (1 + backward_cost()) + 1; }
    /// Of the last norm's two sides.
    struct OutputGradients {
        std::vector<float> input;    ///< [tokens][n_embd]; empty: not wanted
        std::vector<double> weight;  ///< [n_embd]; empty: not wanted
    };
    /// Who takes what of a block's backward pass; nullptr: nobody.
    struct BackwardTakers {
        const CurvatureObserver* curvature = nullptr;
        const VectorObserver* vectors = nullptr;
        const LoraTraining* training = nullptr;
    };

    void compute_loss(Passage& passage, bool want_gradient, const SweepObservers& observers);
    void show_output_rows(const Passage& passage, const ActivationObserver& observer);
    Prediction predict(std::span<const float> last, std::int64_t first, std::int64_t n, bool keep_hidden);
    double subtract_teacher(const Visit& visit, std::int64_t first, std::int64_t n, ggml_tensor* probabilities) const;
    double subtract_targets(const Example& example, std::int64_t first, std::int64_t n,
                            ggml_tensor* probabilities) const;
    void backward_output(std::span<const float> last, std::int64_t first, std::int64_t n, ggml_tensor* logits_gradient,
                         OutputGradients& result);
    template <typename Value>
    std::span<Value> rows_of(std::span<Value> values, std::int64_t first, std::int64_t n) const {
        const auto width = static_cast<std::size_t>(architecture().n_embd);
        return values.subspan(static_cast<std::size_t>(first) * width, static_cast<std::size_t>(n) * width);
    }
    void backward(Passage& passage, int layer, const SweepObservers& observers, const LoraTraining* training);
    std::vector<double> backward_layer(const Passage& passage, Signal& signal, int layer, const BackwardTakers& takers);
    void add_lora_gradients(const LayerRun& run, const LoraTraining& training) const;
    std::vector<double> gate_slopes(const LayerRun& run) const;

    void draw_gradient(Passage& passage, const CurvatureObserver& observer);
    void draw_labels(Example& drawn, std::int64_t first, std::uint64_t seed, std::span<float> probabilities) const;
    void add_output_curvature(std::span<const float> hidden, std::span<const float> probabilities,
                              std::vector<double>& rows, std::vector<double>& columns) const;
    void show_layer_curvature(const LayerRun& run, const CurvatureObserver& observer);
    void show_weight_curvature(const LayerRun& run, TensorRole role, std::span<const float> inputs,
                               const ggml_tensor* gradient, const CurvatureObserver& observer);
    void show_readers(const LayerRun& run, const ggml_tensor* inputs,
                      std::initializer_list<std::pair<TensorRole, const ggml_tensor*>> readers,
                      const CurvatureObserver& observer);
    void show_channel_slopes(const LayerRun& run, const CurvatureObserver& observer) const;
    void show_lookup_curvature(const Passage& passage, const CurvatureObserver& observer) const;

    Backend backend_;
    BackwardMatrices backward_;
    Offload offload_;
    ScoringMemory memory_;
    Weights weights_;
    GraphWorkspace graph_;
    GraphWorkspace back_graph_;
    std::vector<KeptLayer> kept_;  ///< empty: forward passes are computed again
    Stash stash_;
    const LoraAdapter* adapter_ = nullptr;
    const RowScales* row_scales_ = nullptr;
};

}  // namespace plasticity
