#include "engine/placed_tensors.h"

namespace plasticity {

PlacedTensors::PlacedTensors(std::size_t max_tensors) {
    for (ggml_context_ptr& context : contexts_)
        context.reset(ggml_init({max_tensors * ggml_tensor_overhead(), nullptr, true}));
}

void PlacedTensors::allocate(const Backend& backend, ggml_backend_buffer_usage usage) {
    for (const Place place : {Place::kCpu, Place::kDevice}) {
        if (ggml_get_first_tensor(context(place)) == nullptr) continue;
        ggml_backend_buffer_ptr& buffer = buffers_[static_cast<std::size_t>(place)];
        buffer = backend.allocate(context(place), place);
        ggml_backend_buffer_set_usage(buffer.get(), usage);
    }
}

void PlacedTensors::clear() {
    for (const ggml_backend_buffer_ptr& buffer : buffers_)
        if (buffer) ggml_backend_buffer_clear(buffer.get(), 0);
}

std::size_t PlacedTensors::bytes_in(Place place) const {
    const ggml_backend_buffer_ptr& buffer = buffers_[static_cast<std::size_t>(place)];
    return buffer ? ggml_backend_buffer_get_size(buffer.get()) : 0;
}

ggml_tensor* PlacedTensors::find(const char* name) const {
    for (const ggml_context_ptr& context : contexts_)
        if (ggml_tensor* tensor = context ? ggml_get_tensor(context.get(), name) : nullptr) return tensor;
    return nullptr;
}

}  // namespace plasticity
