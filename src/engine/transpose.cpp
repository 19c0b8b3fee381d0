#include "engine/transpose.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>

namespace plasticity {
namespace {

constexpr std::int64_t kTurnedBlock = 16;  // of floats: rows of both sides are whole cache lines

/// Numbers that lie apart.
struct Strided {
    const char* data;
    std::size_t number_bytes, row_bytes;  ///< to the next number of a row, and to the next row

    float at(std::int64_t row, std::int64_t number) const {
        return *reinterpret_cast<const float*>(data + static_cast<std::size_t>(row) * row_bytes +
                                               static_cast<std::size_t>(number) * number_bytes);
    }
};

/// ggml_custom_op_t: threads take bands of the target's rows by turns.
void turn(ggml_tensor* dst, int thread, int n_threads, void*) {
    const ggml_tensor* x = dst->src[0];
    const std::int64_t n_columns = dst->ne[0], n_rows = dst->ne[1],
                       n_bands = (n_rows + kTurnedBlock - 1) / kTurnedBlock;
    const std::int64_t n_planes = dst->ne[2] * dst->ne[3];
    for (std::int64_t index = thread; index < n_bands * n_planes; index += n_threads) {
        const std::int64_t plane = index / n_bands, first = index % n_bands * kTurnedBlock;
        const Strided source{.data = static_cast<const char*>(x->data) +
                                     static_cast<std::size_t>(plane % dst->ne[2]) * x->nb[2] +
                                     static_cast<std::size_t>(plane / dst->ne[2]) * x->nb[3],
                             .number_bytes = x->nb[0],
                             .row_bytes = x->nb[1]};
        float* target = static_cast<float*>(dst->data) + plane * n_rows * n_columns;
        for (std::int64_t column0 = 0; column0 < n_columns; column0 += kTurnedBlock)
            for (std::int64_t row = first; row < std::min(n_rows, first + kTurnedBlock); ++row)
                for (std::int64_t column = column0; column < std::min(n_columns, column0 + kTurnedBlock); ++column)
                    target[row * n_columns + column] = source.at(column, row);
    }
}

}  // namespace

ggml_tensor* contiguous_transpose(ggml_context* context, ggml_tensor* x, bool on_cpu) {
    if (!on_cpu) return ggml_cont(context, ggml_transpose(context, x));
    return ggml_custom_4d(context, GGML_TYPE_F32, x->ne[1], x->ne[0], x->ne[2], x->ne[3], &x, 1, turn, GGML_N_TASKS_MAX,
                          nullptr);
}

}  // namespace plasticity
