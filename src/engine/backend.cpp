#include "engine/backend.h"

#include <fmt/format.h>
#include <ggml-cpu.h>

#include "core/error.h"
#include "core/parallel.h"

namespace plasticity {

Backend::Backend(int threads)
    : backend_(ggml_backend_cpu_init()), threads_(threads > 0 ? threads : default_thread_count()) {
    if (!backend_) throw Error(ErrorKind::kInternal, "engine: ggml offers no CPU backend");
    ggml_backend_cpu_set_n_threads(backend_.get(), threads_);
}

ggml_backend_buffer_ptr Backend::allocate(ggml_context* context) const {
    ggml_backend_buffer_ptr buffer(ggml_backend_alloc_ctx_tensors(context, backend_.get()));
    if (!buffer) {
        const std::size_t bytes = ggml_backend_alloc_ctx_tensors_from_buft_size(
            context, ggml_backend_get_default_buffer_type(backend_.get()));
        throw Error(ErrorKind::kIo, fmt::format("engine: {} bytes for tensors could not be had; "
                                                "close other programs or take a smaller model",
                                                bytes));
    }
    return buffer;
}

void Backend::compute(ggml_cgraph* graph, Kernels kernels) const {
    ggml_backend_cpu_set_use_ref(backend_.get(), kernels == Kernels::kReference);
    const ggml_status status = ggml_backend_graph_compute(backend_.get(), graph);
    if (status != GGML_STATUS_SUCCESS)
        throw Error(ErrorKind::kInternal,
                    fmt::format("engine: a graph did not run: {}", ggml_status_to_string(status)));
}

GraphWorkspace::GraphWorkspace(const Backend& backend)
    : backend_(backend), allocator_(ggml_gallocr_new(ggml_backend_get_default_buffer_type(backend.get()))) {}

void GraphWorkspace::begin(std::size_t max_nodes) {
    const ggml_init_params parameters{
        .mem_size = max_nodes * ggml_tensor_overhead() + ggml_graph_overhead_custom(max_nodes, false),
        .mem_buffer = nullptr,
        .no_alloc = true,
    };
    context_.reset(ggml_init(parameters));
    graph_ = ggml_new_graph_custom(context_.get(), max_nodes, false);
}

ggml_tensor* GraphWorkspace::input(ggml_type type, std::int64_t ne0, std::int64_t ne1, std::int64_t ne2) {
    ggml_tensor* tensor = ggml_new_tensor_3d(context_.get(), type, ne0, ne1, ne2);
    ggml_set_input(tensor);
    return tensor;
}

ggml_tensor* GraphWorkspace::keep(ggml_tensor* tensor) {
    ggml_set_output(tensor);
    ggml_build_forward_expand(graph_, tensor);
    return tensor;
}

void GraphWorkspace::prepare() {
    if (!ggml_gallocr_alloc_graph(allocator_.get(), graph_))
        throw Error(ErrorKind::kIo, "engine: no memory for a graph's intermediate results; take a shorter context");
}

std::size_t GraphWorkspace::planned_bytes() const {
    const ggml_gallocr_ptr planner(ggml_gallocr_new(ggml_backend_get_default_buffer_type(backend_.get())));
    std::size_t bytes = 0;
    ggml_gallocr_reserve_n_size(planner.get(), graph_, nullptr, nullptr, &bytes);
    return bytes;
}

std::size_t GraphWorkspace::bytes() const {
    return ggml_gallocr_get_buffer_size(allocator_.get(), 0);
}

}  // namespace plasticity
