#pragma once

#include <cstdint>
#include <utility>
#include <vector>

#include "artifact/lora_adapter.h"
#include "engine/backend.h"

namespace plasticity {

/// Masks what adapters read while they are trained. Which values go follows from `seed`, matrix and place alone, so
/// that the recomputed forward pass sees the same mask. Source: Srivastava et al. 2014, "Dropout".
struct LoraDropout {
    float probability = 0;  ///< in [0, 1)
    std::uint64_t seed = 0;
};

/// The adapter of a projection as tensors of a graph.
struct LoraNodes {
    ggml_tensor* a = nullptr;        ///< F32 {cols, rank}; nullptr: the projection has no adapter
    ggml_tensor* b = nullptr;        ///< F32 {rank, rows}
    ggml_tensor* dropout = nullptr;  ///< F32 {cols, tokens}: 0 or 1 / (1 − p); nullptr: none
    float scale = 1;
};

/// scale · B A (x × dropout), {rows, tokens}. @param x  {cols, tokens}
ggml_tensor* build_lora(ggml_context* context, const LoraNodes& lora, ggml_tensor* x);

/// Gradients of a scalar loss through build_lora.
struct LoraBack {
    ggml_tensor* a = nullptr;      ///< {cols, rank}
    ggml_tensor* b = nullptr;      ///< {rank, rows}
    ggml_tensor* input = nullptr;  ///< {cols, tokens}
};
/// @param gradient  of what build_lora gave
/// @param on_cpu    all of the graph runs there
LoraBack build_lora_back(ggml_context* context, const LoraNodes& lora, ggml_tensor* x, ggml_tensor* gradient,
                         bool on_cpu);

/// One member for each matrix of a block that can have an adapter.
template <typename T>
struct PerProjection {
    T query, key, value, attention_output, gate, up, down;

    /// @param role  one of lora_roles()
    T& of(TensorRole role);
    const T& of(TensorRole role) const { return const_cast<PerProjection*>(this)->of(role); }
};

using LayerLora = PerProjection<LoraNodes>;
using LayerLoraBack = PerProjection<LoraBack>;

/// The adapters of one block as inputs of a graph.
class LoraInputs {
public:
    /// @param adapter  nullptr: none; must outlive this
    LoraInputs(GraphWorkspace& graph, const LoraAdapter* adapter, int layer, std::int64_t n_tokens,
               const LoraDropout& dropout);

    /// nullptr where the block has no adapters.
    const LayerLora* nodes() const { return filled_.empty() ? nullptr : &nodes_; }
    /// Once the graph is prepared. @param threads  for the masks, which do not depend on it
    void fill(int threads) const;

private:
    struct Input {
        const LoraMatrix* matrix;
        LoraNodes nodes;
        std::uint64_t seed;
    };

    LayerLora nodes_{};
    std::vector<Input> filled_;
    LoraDropout dropout_;
};

template <typename T>
T& PerProjection<T>::of(TensorRole role) {
    switch (role) {
        case TensorRole::kQuery:
            return query;
        case TensorRole::kKey:
            return key;
        case TensorRole::kValue:
            return value;
        case TensorRole::kAttentionOutput:
            return attention_output;
        case TensorRole::kGate:
            return gate;
        case TensorRole::kUp:
            return up;
        default:
            return down;
    }
}

}  // namespace plasticity
