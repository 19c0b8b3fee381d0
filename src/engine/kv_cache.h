#pragma once

#include <cstdint>
#include <vector>

#include "engine/backend.h"
#include "model/architecture.h"

namespace plasticity {

/// Keys and values of past tokens, each layer sized by its own KV groups: ne = {head_dim · n_head_kv, capacity}.
class KvCache {
public:
    /// @param type  F16 or F32
    /// @throws Error (kIo) when there is no memory for it
    KvCache(const Architecture& architecture, const Backend& backend, std::int32_t capacity, ggml_type type);

    /// Shapes alone, for planning a graph that is never run: nothing is allocated.
    KvCache(const Architecture& architecture, std::int32_t capacity, ggml_type type);

    /// Forgets the past; the memory stays.
    void clear() { used_ = 0; }
    std::int32_t capacity() const { return capacity_; }
    std::int32_t used() const { return used_; }
    void advance(std::int32_t n_tokens) { used_ += n_tokens; }
    std::size_t bytes() const;

    /// Nodes that store {head_dim, n_head_kv, tokens} behind the past, to be expanded before store's readers.
    void store(GraphWorkspace& workspace, int layer, ggml_tensor* key, ggml_tensor* value) const;
    /// Views {head_dim, n_cells, n_head_kv} of the first n_cells tokens.
    ggml_tensor* keys(ggml_context* context, int layer, std::int64_t n_cells) const;
    ggml_tensor* values(ggml_context* context, int layer, std::int64_t n_cells) const;

private:
    void declare(ggml_type type);
    ggml_tensor* view(ggml_context* context, ggml_tensor* cache, int layer, std::int64_t n_cells) const;

    std::int32_t capacity_;
    std::int32_t used_ = 0;
    std::int64_t head_dim_;
    std::vector<LayerGeometry> layers_;
    ggml_context_ptr context_;
    ggml_backend_buffer_ptr buffer_;
    std::vector<ggml_tensor*> keys_, values_;  ///< nullptr where a layer has no attention
};

}  // namespace plasticity
