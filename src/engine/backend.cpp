#include "engine/backend.h"

#include <fmt/format.h>
#include <ggml-cpu.h>

#include <utility>

#include "core/error.h"
#include "core/memory.h"
#include "core/parallel.h"
#include "engine/devices.h"
#include "engine/libllama_log.h"

namespace plasticity {
namespace {

void require_success(ggml_status status) {
    if (status != GGML_STATUS_SUCCESS)
        throw Error(ErrorKind::kInternal,
                    fmt::format("engine: a graph did not run: {}", ggml_status_to_string(status)));
}

/// What passes between the CPU and the device lies in memory that the device reads fastest.
ggml_backend_buffer_type_t exchange_memory(const Backend& backend) {
    ggml_backend_dev_t device = ggml_backend_get_device(backend.device());
    ggml_backend_buffer_type_t host = device != nullptr ? ggml_backend_dev_host_buffer_type(device) : nullptr;
    return host != nullptr ? host : ggml_backend_get_default_buffer_type(backend.cpu());
}

}  // namespace

Backend::Backend(int threads) : cpu_(ggml_backend_cpu_init()), threads_(thread_count(threads)) {
    silence_libllama();
    if (!cpu_) throw Error(ErrorKind::kInternal, "engine: ggml offers no CPU backend");
    ggml_backend_cpu_set_n_threads(cpu_.get(), threads_);
}

Backend::Backend(const BackendChoice& choice, int threads) : Backend(threads) {
    const std::optional<ComputeDevice> device = choose_device(choice.device, compute_devices());
    if (!device) return;
    device_.reset(ggml_backend_dev_init(device->handle, nullptr));
    if (!device_)
        throw Error(ErrorKind::kIo, fmt::format("backend: {} cannot be used now; close what else runs on it, or pass "
                                                "--backend cpu",
                                                device->label()));
    label_ = device->label();
}

Backend::Backend(ggml_backend_ptr device, std::string label, int threads) : Backend(threads) {
    device_ = std::move(device);
    label_ = std::move(label);
}

std::uint64_t Backend::free_device_bytes() const {
    std::size_t free = 0, total = 0;
    ggml_backend_dev_memory(ggml_backend_get_device(device_.get()), &free, &total);
    return free;
}

bool Backend::device_multiplies(const ggml_tensor& matrix, bool looks_up) const {
    constexpr std::int64_t kTokens = 512;
    const ggml_context_ptr context(ggml_init({8 * ggml_tensor_overhead(), nullptr, true}));
    ggml_tensor* like = ggml_new_tensor_2d(context.get(), matrix.type, matrix.ne[0], matrix.ne[1]);
    ggml_tensor* x = ggml_new_tensor_2d(context.get(), GGML_TYPE_F32, matrix.ne[0], kTokens);
    ggml_tensor* ids = ggml_new_tensor_1d(context.get(), GGML_TYPE_I32, kTokens);
    return ggml_backend_supports_op(device_.get(), ggml_mul_mat(context.get(), like, x)) &&
           (!looks_up || ggml_backend_supports_op(device_.get(), ggml_get_rows(context.get(), like, ids)));
}

ggml_backend_buffer_ptr Backend::allocate(ggml_context* context, Place place) const {
    ggml_backend_t owner = place == Place::kDevice ? device_.get() : cpu_.get();
    ggml_backend_buffer_ptr buffer(ggml_backend_alloc_ctx_tensors(context, owner));
    if (!buffer) {
        const std::size_t bytes =
            ggml_backend_alloc_ctx_tensors_from_buft_size(context, ggml_backend_get_default_buffer_type(owner));
        throw Error(ErrorKind::kIo,
                    fmt::format("engine: {} bytes for tensors could not be had{}", bytes,
                                place == Place::kDevice ? fmt::format(" on {}; pass fewer --gpu-layers", label_)
                                                        : "; close other programs or take a smaller model"));
    }
    if (ggml_backend_buffer_is_host(buffer.get()))
        prefer_large_pages(ggml_backend_buffer_get_base(buffer.get()), ggml_backend_buffer_get_size(buffer.get()));
    return buffer;
}

void Backend::choose_kernels(Kernels kernels) const {
    ggml_backend_cpu_set_use_ref(cpu_.get(), kernels == Kernels::kReference);
}

void Backend::compute(ggml_cgraph* graph, Kernels kernels) const {
    choose_kernels(kernels);
    require_success(ggml_backend_graph_compute(cpu_.get(), graph));
}

GraphWorkspace::GraphWorkspace(const Backend& backend) : backend_(backend) {
    if (!backend.has_device()) allocator_.reset(ggml_gallocr_new(ggml_backend_get_default_buffer_type(backend.cpu())));
}

/// A scheduler's tables are made for a number of nodes; one for more takes the place of one for fewer.
void GraphWorkspace::begin_schedule(std::size_t max_nodes) {
    if (scheduler_ && max_nodes <= scheduler_max_nodes_) return ggml_backend_sched_reset(scheduler_.get());
    ggml_backend_t backends[] = {backend_.device(), backend_.cpu()};  // the CPU last, as ggml wants it
    ggml_backend_buffer_type_t memory[] = {ggml_backend_get_default_buffer_type(backend_.device()),
                                           exchange_memory(backend_)};
    scheduler_.reset(ggml_backend_sched_new(backends, memory, 2, max_nodes, false, true));
    scheduler_max_nodes_ = max_nodes;
    planned_.clear();
}

void GraphWorkspace::begin(std::size_t max_nodes) {
    const ggml_init_params parameters{
        .mem_size = max_nodes * ggml_tensor_overhead() + ggml_graph_overhead_custom(max_nodes, false),
        .mem_buffer = nullptr,
        .no_alloc = true,
    };
    context_.reset(ggml_init(parameters));
    graph_ = ggml_new_graph_custom(context_.get(), max_nodes, false);
    preferred_.clear();
    kept_.clear();
    if (backend_.has_device()) begin_schedule(max_nodes);
}

ggml_tensor* GraphWorkspace::input(ggml_type type, std::int64_t ne0, std::int64_t ne1, std::int64_t ne2) {
    ggml_tensor* tensor = ggml_new_tensor_3d(context_.get(), type, ne0, ne1, ne2);
    ggml_set_input(tensor);
    return tensor;
}

ggml_tensor* GraphWorkspace::keep(ggml_tensor* tensor) {
    for (ggml_tensor* owner = tensor; owner != nullptr; owner = owner->view_src) ggml_set_output(owner);
    ggml_build_forward_expand(graph_, tensor);
    kept_.push_back(ggml_graph_n_nodes(graph_));
    return tensor;
}

void GraphWorkspace::prefer_device(ggml_tensor* tensor) {
    if (backend_.has_device() && ggml_backend_supports_op(backend_.device(), tensor)) preferred_.push_back(tensor);
}

void GraphWorkspace::place_preferred() {
    for (ggml_tensor* tensor : preferred_)
        ggml_backend_sched_set_tensor_backend(scheduler_.get(), tensor, backend_.device());
}

bool GraphWorkspace::plan() {
    if (!scheduler_) return ggml_gallocr_reserve(allocator_.get(), graph_);
    place_preferred();
    return ggml_backend_sched_reserve(scheduler_.get(), graph_);  // which forgets what was placed
}

void GraphWorkspace::prepare() {
    bool laid_out = kept_ == planned_ || plan();
    if (laid_out) {
        planned_ = kept_;
        if (scheduler_) place_preferred();
        laid_out = scheduler_ ? ggml_backend_sched_alloc_graph(scheduler_.get(), graph_)
                              : ggml_gallocr_alloc_graph(allocator_.get(), graph_);
    }
    if (!laid_out)
        throw Error(ErrorKind::kIo, "engine: no memory for a graph's intermediate results; take a shorter context");
}

void GraphWorkspace::run(Kernels kernels) const {
    if (!scheduler_) return backend_.compute(graph_, kernels);
    backend_.choose_kernels(kernels);
    require_success(ggml_backend_sched_graph_compute(scheduler_.get(), graph_));
}

std::size_t GraphWorkspace::planned_bytes() const {
    const ggml_gallocr_ptr planner(ggml_gallocr_new(ggml_backend_get_default_buffer_type(backend_.cpu())));
    std::size_t bytes = 0;
    ggml_gallocr_reserve_n_size(planner.get(), graph_, nullptr, nullptr, &bytes);
    return bytes;
}

std::size_t GraphWorkspace::bytes() const {
    if (!backend_.has_device()) return ggml_gallocr_get_buffer_size(allocator_.get(), 0);
    std::size_t bytes = 0;
    if (scheduler_)
        for (ggml_backend_t backend : {backend_.device(), backend_.cpu()})
            bytes += ggml_backend_sched_get_buffer_size(scheduler_.get(), backend);
    return bytes;
}

}  // namespace plasticity
