#include "engine/kv_cache.h"

namespace plasticity {

void KvCache::declare(ggml_type type) {
    context_.reset(ggml_init({(2 * layers_.size() + 1) * ggml_tensor_overhead(), nullptr, true}));
    for (const LayerGeometry& layer : layers_) {
        const bool attends = layer.n_head_kv > 0;
        const std::int64_t width = head_dim_ * layer.n_head_kv;
        keys_.push_back(attends ? ggml_new_tensor_2d(context_.get(), type, width, capacity_) : nullptr);
        values_.push_back(attends ? ggml_new_tensor_2d(context_.get(), type, width, capacity_) : nullptr);
    }
}

KvCache::KvCache(const Architecture& architecture, std::int32_t capacity, ggml_type type)
    : capacity_(capacity), head_dim_(architecture.head_dim), layers_(architecture.layers) {
    declare(type);
    for (ggml_tensor* tensor = ggml_get_first_tensor(context_.get()); tensor != nullptr;
         tensor = ggml_get_next_tensor(context_.get(), tensor))
        tensor->data = tensor;  // an address that is never read
}

KvCache::KvCache(const Architecture& architecture, const Backend& backend, std::int32_t capacity, ggml_type type)
    : capacity_(capacity), head_dim_(architecture.head_dim), layers_(architecture.layers) {
    declare(type);
    if (ggml_get_first_tensor(context_.get()) == nullptr) return;
    buffer_ = backend.allocate(context_.get());
    ggml_backend_buffer_clear(buffer_.get(), 0);
}

std::size_t KvCache::bytes() const {
    return buffer_ ? ggml_backend_buffer_get_size(buffer_.get()) : 0;
}

void KvCache::store(GraphWorkspace& workspace, int layer, ggml_tensor* key, ggml_tensor* value) const {
    ggml_context* context = workspace.context();
    const auto index = static_cast<std::size_t>(layer);
    for (const auto& [cache, fresh] : {std::pair{keys_[index], key}, std::pair{values_[index], value}}) {
        ggml_tensor* slot = ggml_view_2d(context, cache, cache->ne[0], fresh->ne[2], cache->nb[1],
                                         static_cast<std::size_t>(used_) * cache->nb[1]);
        ggml_tensor* flat = ggml_reshape_2d(context, fresh, cache->ne[0], fresh->ne[2]);
        ggml_build_forward_expand(workspace.graph(), ggml_cpy(context, flat, slot));
    }
}

ggml_tensor* KvCache::keys(ggml_context* context, int layer, std::int64_t n_cells) const {
    return view(context, keys_[static_cast<std::size_t>(layer)], layer, n_cells);
}

ggml_tensor* KvCache::values(ggml_context* context, int layer, std::int64_t n_cells) const {
    return view(context, values_[static_cast<std::size_t>(layer)], layer, n_cells);
}

ggml_tensor* KvCache::view(ggml_context* context, ggml_tensor* cache, int layer, std::int64_t n_cells) const {
    const std::int64_t n_head_kv = layers_[static_cast<std::size_t>(layer)].n_head_kv;
    const std::size_t head_bytes = static_cast<std::size_t>(head_dim_) * ggml_element_size(cache);
    return ggml_view_3d(context, cache, head_dim_, n_cells, n_head_kv, cache->nb[1], head_bytes, 0);
}

}  // namespace plasticity
