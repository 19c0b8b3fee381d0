#pragma once

#include <ggml-backend.h>
#include <ggml-cpp.h>
#include <ggml.h>

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "engine/offload.h"
#include "plasticity/backend_choice.h"

namespace plasticity {

/// kReference: ggml's plain kernels. Slower for many tokens, and independent of the number of threads where the fast
/// ones are not.
enum class Kernels { kFast, kReference };

/// Where tensors live and graphs run: the CPU, alone or beside one device. Used by one thread at a time.
class Backend {
public:
    /// The CPU, with `threads` workers (0: all processors this process may use).
    explicit Backend(int threads);
    /// @throws Error (kUsage for a device that there is not, kIo when it cannot be used)
    Backend(const BackendChoice& choice, int threads);
    /// Any backend of ggml's in the place of the device.
    Backend(ggml_backend_ptr device, std::string label, int threads);

    bool has_device() const { return device_ != nullptr; }
    /// "CPU", or the device with its description.
    const std::string& label() const { return label_; }
    /// @pre has_device()
    std::uint64_t free_device_bytes() const;
    /// Can the device multiply by a matrix like this, and look its rows up where that is wanted? @pre has_device()
    bool device_multiplies(const ggml_tensor& matrix, bool looks_up) const;

    /// Memory for every tensor of `context` (made with no_alloc) that has none yet.
    /// @throws Error (kIo) naming the bytes that could not be had
    ggml_backend_buffer_ptr allocate(ggml_context* context, Place place = Place::kCpu) const;

    /// On the CPU. @throws Error (kInternal)
    void compute(ggml_cgraph* graph, Kernels kernels) const;
    void choose_kernels(Kernels kernels) const;  ///< of the CPU

    ggml_backend_t cpu() const { return cpu_.get(); }
    ggml_backend_t device() const { return device_.get(); }
    int threads() const { return threads_; }

private:
    ggml_backend_ptr cpu_;
    ggml_backend_ptr device_;  ///< nullptr: none
    std::string label_ = "CPU";
    int threads_;
};

/// A graph under construction together with the memory its intermediate results take while it runs.
/// Build with context(), then run() once; results flagged by keep() can be read until the workspace is rebuilt.
/// Beside a device, ggml's scheduler has every operation run where its weights lie, and on the CPU what the device
/// does not know; inputs are the CPU's.
class GraphWorkspace {
public:
    explicit GraphWorkspace(const Backend& backend);

    /// Forgets the last graph. @param max_nodes  upper bound of tensors in the new one
    void begin(std::size_t max_nodes);
    ggml_context* context() const { return context_.get(); }
    ggml_cgraph* graph() const { return graph_; }

    /// An input that the caller fills after prepare().
    ggml_tensor* input(ggml_type type, std::int64_t ne0, std::int64_t ne1 = 1, std::int64_t ne2 = 1);
    /// Marks a result that is read after run(): its memory is not reused within the graph.
    ggml_tensor* keep(ggml_tensor* tensor);
    /// For results of no weights, which would be the CPU's otherwise: the device computes them if there is one and it
    /// can. Before prepare().
    void prefer_device(ggml_tensor* tensor);

    /// Lays the graph out in memory; inputs may be filled from now on. @throws Error (kIo)
    void prepare();
    /// @throws Error (kInternal)
    void run(Kernels kernels = Kernels::kFast) const;

    /// Bytes that prepare() would take for the graph as it is; nothing is allocated.
    std::size_t planned_bytes() const;

    /// Bytes of intermediate results of the last prepared graph.
    std::size_t bytes() const;

private:
    void begin_schedule(std::size_t max_nodes);
    void place_preferred();
    bool plan();

    const Backend& backend_;
    ggml_context_ptr context_;
    ggml_cgraph* graph_ = nullptr;
    ggml_gallocr_ptr allocator_;           ///< of the CPU alone
    ggml_backend_sched_ptr scheduler_;     ///< beside a device
    std::size_t scheduler_max_nodes_ = 0;  ///< that it was made for
    std::vector<ggml_tensor*> preferred_;  ///< on the device
    /// Which nodes were kept, by place: of this graph, and of the one that memory was last planned for. ggml takes a
    /// plan for another graph's where numbers and sizes of tensors agree, but a plan reuses what is not kept.
    std::vector<int> kept_, planned_;
};

template <typename T>
void fill(ggml_tensor* tensor, std::span<const T> values) {
    ggml_backend_tensor_set(tensor, values.data(), 0, values.size_bytes());
}

template <typename T>
void fetch(const ggml_tensor* tensor, std::span<T> values) {
    ggml_backend_tensor_get(tensor, values.data(), 0, values.size_bytes());
}

/// All of an F32 tensor.
inline std::vector<float> values_of(const ggml_tensor* tensor) {
    std::vector<float> values(static_cast<std::size_t>(ggml_nelements(tensor)));
    fetch<float>(tensor, values);
    return values;
}

}  // namespace plasticity
