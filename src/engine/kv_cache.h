#pragma once

#include <cstdint>
#include <vector>

#include "engine/backend.h"
#include "engine/placed_tensors.h"
#include "model/architecture.h"

namespace plasticity {

struct KvCacheOptions {
    std::int32_t capacity = 0;       ///< tokens
    ggml_type type = GGML_TYPE_F16;  ///< or F32, or one whose blocks flash attention reads: Q8_0, Q4_0
    Offload offload = {};            ///< a layer's keys and values lie where its weights do
};

/// Keys and values of past tokens, each layer sized by its own KV groups: ne = {head_dim · n_head_kv, capacity}.
class KvCache {
public:
    /// @throws Error (kUsage when heads are no whole blocks of the type, kIo when there is no memory for it)
    KvCache(const Architecture& architecture, const Backend& backend, const KvCacheOptions& options);

    /// Shapes alone, for planning a graph that is never run: nothing is allocated.
    KvCache(const Architecture& architecture, std::int32_t capacity, ggml_type type);

    /// Forgets the past; the memory stays.
    void clear() { used_ = 0; }
    /// Forgets all but the first n_tokens.
    void rewind(std::int32_t n_tokens) { used_ = n_tokens < used_ ? n_tokens : used_; }
    std::int32_t capacity() const { return capacity_; }
    std::int32_t used() const { return used_; }
    void advance(std::int32_t n_tokens) { used_ += n_tokens; }
    std::size_t bytes() const { return tensors_.bytes(); }
    /// Of one layer's keys and values.
    static std::uint64_t layer_bytes(const Architecture& architecture, const LayerGeometry& layer,
                                     const KvCacheOptions& options);

    /// Cells that a graph reads once n_tokens are stored behind the past; those after them are to be masked. They grow
    /// by steps, so that one graph serves many tokens, and a device's attention runs fastest over a multiple of 256.
    std::int64_t cells(std::int64_t n_tokens) const;

    struct Fresh {
        ggml_tensor *key, *value;  ///< {head_dim, n_head_kv, tokens}
        ggml_tensor* cells;        ///< I64 {tokens}: where each is stored
    };
    /// Nodes that store tokens, to be expanded before the readers of these cells.
    void store(GraphWorkspace& workspace, int layer, const Fresh& fresh) const;
    /// Views {head_dim, n_cells, n_head_kv} of the first n_cells tokens.
    ggml_tensor* keys(ggml_context* context, int layer, std::int64_t n_cells) const;
    ggml_tensor* values(ggml_context* context, int layer, std::int64_t n_cells) const;

private:
    void declare(const KvCacheOptions& options);
    ggml_tensor* view(ggml_context* context, ggml_tensor* cache, int layer, std::int64_t n_cells) const;

    std::int32_t capacity_;
    std::int32_t used_ = 0;
    std::int64_t head_dim_;
    std::vector<LayerGeometry> layers_;
    std::int64_t n_cells_ = 0;  ///< that there is memory for
    PlacedTensors tensors_;
    std::vector<ggml_tensor*> keys_, values_;  ///< nullptr where a layer has no attention
};

}  // namespace plasticity
