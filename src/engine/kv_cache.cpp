#include "engine/kv_cache.h"

#include <fmt/format.h>

#include <algorithm>

#include "core/error.h"

namespace plasticity {
namespace {

constexpr std::int64_t kStride = 256;

std::int64_t round_up(std::int64_t n, std::int64_t stride) {
    return (n + stride - 1) / stride * stride;
}

}  // namespace

void KvCache::declare(const KvCacheOptions& options) {
    tensors_ = PlacedTensors(2 * layers_.size() + 1);
    for (std::size_t index = 0; index < layers_.size(); ++index) {
        ggml_context* context = tensors_.context(options.offload.layer(static_cast<int>(index)));
        const bool attends = layers_[index].n_head_kv > 0;
        const std::int64_t width = head_dim_ * layers_[index].n_head_kv;
        keys_.push_back(attends ? ggml_new_tensor_2d(context, options.type, width, n_cells_) : nullptr);
        values_.push_back(attends ? ggml_new_tensor_2d(context, options.type, width, n_cells_) : nullptr);
    }
}

KvCache::KvCache(const Architecture& architecture, std::int32_t capacity, ggml_type type)
    : capacity_(capacity), head_dim_(architecture.head_dim), layers_(architecture.layers), n_cells_(capacity) {
    declare({.capacity = capacity, .type = type});
    for (const std::vector<ggml_tensor*>& tensors : {keys_, values_})
        for (ggml_tensor* tensor : tensors)
            if (tensor != nullptr) tensor->data = tensor;  // an address that is never read
}

KvCache::KvCache(const Architecture& architecture, const Backend& backend, const KvCacheOptions& options)
    : capacity_(options.capacity),
      head_dim_(architecture.head_dim),
      layers_(architecture.layers),
      n_cells_(backend.has_device() ? round_up(capacity_, kStride) : capacity_) {
    if (head_dim_ % ggml_blck_size(options.type) != 0)
        throw Error(ErrorKind::kUsage,
                    fmt::format("KV cache: heads of {} do not divide into {}'s blocks of {}; use f16", head_dim_,
                                ggml_type_name(options.type), ggml_blck_size(options.type)));
    declare(options);
    tensors_.allocate(backend);
    tensors_.clear();
}

std::uint64_t KvCache::layer_bytes(const Architecture& architecture, const LayerGeometry& layer,
                                   const KvCacheOptions& options) {
    const auto n_cells = static_cast<std::uint64_t>(round_up(options.capacity, kStride));
    return 2 * n_cells * ggml_row_size(options.type, std::int64_t{architecture.head_dim} * layer.n_head_kv);
}

std::int64_t KvCache::cells(std::int64_t n_tokens) const {
    return std::min(round_up(used_ + n_tokens, kStride), n_cells_);
}

void KvCache::store(GraphWorkspace& workspace, int layer, const Fresh& fresh) const {
    ggml_context* context = workspace.context();
    const auto index = static_cast<std::size_t>(layer);
    for (const auto& [cache, heads] : {std::pair{keys_[index], fresh.key}, std::pair{values_[index], fresh.value}}) {
        ggml_tensor* flat = ggml_reshape_2d(context, heads, cache->ne[0], heads->ne[2]);
        ggml_build_forward_expand(workspace.graph(), ggml_set_rows(context, cache, flat, fresh.cells));
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
    const std::size_t head_bytes = ggml_row_size(cache->type, head_dim_);
    return ggml_view_3d(context, cache, head_dim_, n_cells, n_head_kv, cache->nb[1], head_bytes, 0);
}

}  // namespace plasticity
