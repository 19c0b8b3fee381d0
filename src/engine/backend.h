#pragma once

#include <ggml-backend.h>
#include <ggml-cpp.h>
#include <ggml.h>

#include <cstddef>
#include <span>

namespace plasticity {

/// kReference: ggml's plain kernels. Slower for many tokens, and independent of the number of threads where the fast
/// ones are not.
enum class Kernels { kFast, kReference };

/// Where tensors live and graphs run: one ggml backend. Used by one thread at a time.
class Backend {
public:
    /// The CPU, with `threads` workers (0: all processors this process may use).
    explicit Backend(int threads);

    /// Memory for every tensor of `context` (made with no_alloc) that has none yet.
    /// @throws Error (kIo) naming the bytes that could not be had
    ggml_backend_buffer_ptr allocate(ggml_context* context) const;

    /// @throws Error (kInternal)
    void compute(ggml_cgraph* graph, Kernels kernels) const;

    ggml_backend_t get() const { return backend_.get(); }
    int threads() const { return threads_; }

private:
    ggml_backend_ptr backend_;
    int threads_;
};

/// A graph under construction together with the memory its intermediate results take while it runs.
/// Build with context(), then run() once; results flagged by keep() can be read until the workspace is rebuilt.
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

    /// Lays the graph out in memory; inputs may be filled from now on. @throws Error (kIo)
    void prepare();
    void run(Kernels kernels = Kernels::kFast) const { backend_.compute(graph_, kernels); }

    /// Bytes that prepare() would take for the graph as it is; nothing is allocated.
    std::size_t planned_bytes() const;

    /// Bytes of intermediate results of the last prepared graph.
    std::size_t bytes() const;

private:
    const Backend& backend_;
    ggml_context_ptr context_;
    ggml_cgraph* graph_ = nullptr;
    ggml_gallocr_ptr allocator_;
};

template <typename T>
void fill(ggml_tensor* tensor, std::span<const T> values) {
    ggml_backend_tensor_set(tensor, values.data(), 0, values.size_bytes());
}

template <typename T>
void fetch(const ggml_tensor* tensor, std::span<T> values) {
    ggml_backend_tensor_get(tensor, values.data(), 0, values.size_bytes());
}

}  // namespace plasticity
