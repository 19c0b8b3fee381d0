#pragma once

// Models that are only shapes, and scores for them: planning reads no weight.

#include <algorithm>
#include <cstdint>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "artifact/gate_gradients.h"
#include "core/error.h"
#include "model/model.h"
#include "plan/recipe_draft.h"

namespace plasticity::test {

class SyntheticModel final : public Model {
public:
    explicit SyntheticModel(Architecture architecture, bool biases = false) {
        architecture_ = std::move(architecture);
        const std::int64_t width = architecture_.n_embd;
        add_matrix({TensorRole::kTokenEmbedding}, architecture_.n_vocab, width);
        for (int layer = 0; layer < architecture_.n_layer(); ++layer) add_block(layer, biases);
        add_vector({TensorRole::kOutputNorm}, width);
        if (!architecture_.tied_embeddings) add_matrix({TensorRole::kOutput}, architecture_.n_vocab, width);
    }

    void read_rows(const ModelTensor&, std::int64_t, std::int64_t, std::span<std::byte>) const override {
        throw Error(ErrorKind::kInternal, "planning reads no weights");
    }
    void require_unchanged() const override {}
    bool reads_from(const std::filesystem::path&) const override { return false; }

private:
    void add_block(int layer, bool biases) {
        const LayerGeometry& geometry = architecture_.layers[static_cast<std::size_t>(layer)];
        const std::int64_t width = architecture_.n_embd, ff = geometry.n_ff;
        const std::int64_t query = std::int64_t{geometry.n_head} * architecture_.head_dim;
        const std::int64_t key = std::int64_t{geometry.n_head_kv} * architecture_.head_dim;
        if (query > 0) {
            add_vector({TensorRole::kAttentionNorm, layer}, width);
            add_matrix({TensorRole::kQuery, layer}, query, width);
            add_matrix({TensorRole::kKey, layer}, key, width);
            add_matrix({TensorRole::kValue, layer}, key, width);
            add_matrix({TensorRole::kAttentionOutput, layer}, width, query);
            if (biases) add_vector({TensorRole::kQuery, layer, true}, query);
        }
        add_vector({TensorRole::kFeedForwardNorm, layer}, width);
        add_matrix({TensorRole::kGate, layer}, ff, width);
        add_matrix({TensorRole::kUp, layer}, ff, width);
        add_matrix({TensorRole::kDown, layer}, width, ff);
    }
    void add_matrix(const TensorId& id, std::int64_t rows, std::int64_t cols) {
        tensors_.push_back({id, gguf_name(id), GGML_TYPE_F16, rows, cols, false});
    }
    void add_vector(const TensorId& id, std::int64_t length) {
        tensors_.push_back({id, gguf_name(id), GGML_TYPE_F32, 1, length, true});
    }
};

struct ShapeOptions {
    int n_layer = 4;
    std::int32_t n_embd = 512;
    std::int32_t n_head = 8;
    std::int32_t n_head_kv = 4;
    std::int32_t head_dim = 64;
    std::int32_t n_ff = 1024;
    std::int32_t n_vocab = 2048;
    bool tied = true;
    const char* name = "llama";
};

inline Architecture shape(const ShapeOptions& options = {}) {
    Architecture architecture;
    architecture.name = options.name;
    architecture.model_name = "synthetic";
    architecture.n_embd = options.n_embd;
    architecture.n_vocab = options.n_vocab;
    architecture.head_dim = architecture.n_rot = options.head_dim;
    architecture.context_length = 8192;
    architecture.rope_layout = RopeLayout::kNorm;
    architecture.tied_embeddings = options.tied;
    architecture.layers.assign(static_cast<std::size_t>(options.n_layer),
                               {options.n_head, options.n_head_kv, options.n_ff});
    return architecture;
}

/// Scores in [0, 1] that look random and are the same everywhere.
inline std::vector<std::vector<double>> mixed_scores(const Architecture& architecture, std::uint32_t seed = 1) {
    std::vector<std::vector<double>> scores;
    std::uint32_t state = seed;
    for (const LayerGeometry& layer : architecture.layers) {
        auto& row = scores.emplace_back();
        for (int head = 0; head < layer.n_head; ++head) {
            state = state * 1664525u + 1013904223u;
            row.push_back(static_cast<double>(state >> 8) / static_cast<double>(1u << 24));
        }
    }
    return scores;
}

inline GateGradients gradients_of(const Architecture& architecture, std::vector<std::vector<double>> scores) {
    GateGradients gradients;
    gradients.model_name = architecture.model_name;
    gradients.num_steps = 1;
    for (const LayerGeometry& layer : architecture.layers) {
        gradients.num_heads = std::max(gradients.num_heads, layer.n_head);
        gradients.num_kv_heads = std::max(gradients.num_kv_heads, layer.n_head_kv);
        gradients.layer_kv_heads.push_back(layer.n_head_kv);
    }
    gradients.moving_averages = scores;
    gradients.signed_sums = scores;
    gradients.absolute_sums = std::move(scores);
    return gradients;
}

}  // namespace plasticity::test
