#include "engine/lora_weights.h"

namespace plasticity {

LoraWeights::LoraWeights(const LoraAdapter& adapter, std::int32_t n_layer, const Backend& backend,
                         const Offload& offload)
    : tensors_(2 * adapter.matrices.size() + 1), layers_(static_cast<std::size_t>(n_layer)) {
    const auto nodes_of = [&](const TensorId& id) -> LoraNodes& {
        return layers_[static_cast<std::size_t>(id.layer)].of(id.role);
    };
    for (const LoraMatrix& matrix : adapter.matrices) {
        ggml_context* context = tensors_.context(offload.layer(matrix.id.layer));
        nodes_of(matrix.id) = {.a = ggml_new_tensor_2d(context, GGML_TYPE_F32, matrix.cols, adapter.rank),
                               .b = ggml_new_tensor_2d(context, GGML_TYPE_F32, adapter.rank, matrix.rows),
                               .scale = static_cast<float>(adapter.scale())};
    }
    tensors_.allocate(backend, GGML_BACKEND_BUFFER_USAGE_WEIGHTS);
    for (const LoraMatrix& matrix : adapter.matrices) {
        fill<float>(nodes_of(matrix.id).a, matrix.a);
        fill<float>(nodes_of(matrix.id).b, matrix.b);
    }
}

}  // namespace plasticity
