#include "engine/repacked_weights.h"

#include <fmt/format.h>
#include <ggml-backend.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <utility>

#include "core/error.h"
#include "core/interrupt.h"
#include "core/parallel.h"

namespace plasticity {
namespace {

/// Kinds of memory whose tensors have kernels of their own, the preferred ones first.
std::vector<ggml_backend_buffer_type_t> kinds_of(ggml_backend_dev_t cpu) {
    using GetKinds = ggml_backend_buffer_type_t* (*)(ggml_backend_dev_t);
    const auto get = reinterpret_cast<GetKinds>(
        ggml_backend_reg_get_proc_address(ggml_backend_dev_backend_reg(cpu), "ggml_backend_dev_get_extra_bufts"));
    std::vector<ggml_backend_buffer_type_t> kinds;
    if (get == nullptr) return kinds;
    for (ggml_backend_buffer_type_t* kind = get(cpu); kind != nullptr && *kind != nullptr; ++kind)
        kinds.push_back(*kind);
    return kinds;
}

/// ggml asks the memory that a matrix lies in, so one like it is declared in an empty piece of it.
bool multiplies(ggml_backend_dev_t cpu, ggml_backend_buffer_type_t kind, const ggml_tensor& matrix) {
    const ggml_backend_buffer_ptr nothing(ggml_backend_buft_alloc_buffer(kind, 0));
    const ggml_context_ptr context(ggml_init({4 * ggml_tensor_overhead(), nullptr, true}));
    ggml_tensor* like = ggml_new_tensor_2d(context.get(), matrix.type, matrix.ne[0], matrix.ne[1]);
    like->buffer = nothing.get();
    ggml_tensor* x = ggml_new_tensor_2d(context.get(), GGML_TYPE_F32, matrix.ne[0], 1);
    return nothing && ggml_backend_dev_supports_op(cpu, ggml_mul_mat(context.get(), like, x));
}

std::array<ggml_tensor**, 7> matrices_of(LayerWeights& layer) {
    return {&layer.query, &layer.key, &layer.value, &layer.attention_output, &layer.gate, &layer.up, &layer.down};
}

struct Copy {
    ggml_tensor* to = nullptr;
    const ggml_tensor* from = nullptr;
};

/// ggml rearranges a matrix on one thread, so several at once.
void fill(std::span<const Copy> copies, int threads, Progress& progress) {
    std::uint64_t total = 0;
    for (const Copy& copy : copies) total += ggml_nbytes(copy.from);
    progress.begin("repack", total, "bytes");
    while (!copies.empty()) {
        throw_if_interrupted();
        const auto some = copies.first(std::min(copies.size(), static_cast<std::size_t>(threads)));
        parallel_for(threads, some.size(), [&](std::size_t i) {
            ggml_backend_tensor_set(some[i].to, some[i].from->data, 0, ggml_nbytes(some[i].from));
        });
        for (const Copy& copy : some) progress.advance(ggml_nbytes(copy.from));
        copies = copies.subspan(some.size());
    }
    progress.end();
}

}  // namespace

RepackedWeights::RepackedWeights(const Weights& weights, const Backend& backend, Progress& progress) {
    ggml_backend_dev_t cpu = ggml_backend_get_device(backend.cpu());
    const PassWeights pass = weights.pass();
    std::vector<LayerWeights> layers(pass.layers.begin(), pass.layers.end());
    for (ggml_backend_buffer_type_t kind : kinds_of(cpu)) {
        const std::size_t n_matrices = layers.size() * matrices_of(layers.front()).size();
        ggml_context_ptr context(ggml_init({n_matrices * ggml_tensor_overhead(), nullptr, true}));
        std::vector<Copy> copies;
        for (std::size_t index = 0; index < layers.size(); ++index) {
            LayerWeights original = pass.layers[index];
            const auto from = matrices_of(original), to = matrices_of(layers[index]);
            for (std::size_t i = 0; i < from.size(); ++i) {
                const ggml_tensor* matrix = *from[i];
                if (matrix == nullptr || *to[i] != matrix || !multiplies(cpu, kind, *matrix)) continue;
                *to[i] = ggml_new_tensor_2d(context.get(), matrix->type, matrix->ne[0], matrix->ne[1]);
                copies.push_back({*to[i], matrix});
            }
        }
        if (copies.empty()) continue;
        ggml_backend_buffer_ptr buffer(ggml_backend_alloc_ctx_tensors_from_buft(context.get(), kind));
        if (!buffer)
            throw Error(ErrorKind::kIo,
                        fmt::format("engine: {} bytes for repacked weights could not be had; do without "
                                    "them (--no-repack)",
                                    ggml_backend_alloc_ctx_tensors_from_buft_size(context.get(), kind)));
        ggml_backend_buffer_set_usage(buffer.get(), GGML_BACKEND_BUFFER_USAGE_WEIGHTS);
        fill(copies, backend.threads(), progress);
        contexts_.push_back(std::move(context));
        buffers_.push_back(std::move(buffer));
    }
    if (!buffers_.empty()) layers_ = std::move(layers);
}

std::size_t RepackedWeights::bytes() const {
    std::size_t bytes = 0;
    for (const ggml_backend_buffer_ptr& buffer : buffers_) bytes += ggml_backend_buffer_get_size(buffer.get());
    return bytes;
}

}  // namespace plasticity
