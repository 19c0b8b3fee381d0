#include "engine/transpose.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>

namespace plasticity {
namespace {

constexpr std::int64_t kTurnedBlock = 16;  // of floats: rows of both sides are whole cache lines

/// target[row][column] = source[column][row]. @param number_bytes  from one number of a source row to the next
/// @param row_bytes  from one source row to the next. @param stride  of the target's rows, floats
void turn_block(const char* source, std::size_t number_bytes, std::size_t row_bytes, float* target, std::int64_t stride,
                std::int64_t n_rows, std::int64_t n_columns) {
    for (std::int64_t row = 0; row < n_rows; ++row)
        for (std::int64_t column = 0; column < n_columns; ++column)
            target[row * stride + column] = *reinterpret_cast<const float*>(
                source + static_cast<std::size_t>(row) * number_bytes + static_cast<std::size_t>(column) * row_bytes);
}

/// ggml_custom_op_t: threads take bands of the target's rows by turns.
void turn(ggml_tensor* dst, int thread, int n_threads, void*) {
    const ggml_tensor* x = dst->src[0];
    const std::int64_t n_columns = dst->ne[0], n_rows = dst->ne[1],
                       n_bands = (n_rows + kTurnedBlock - 1) / kTurnedBlock;
    const std::int64_t n_planes = dst->ne[2] * dst->ne[3];
    for (std::int64_t band = thread; band < n_bands * n_planes; band += n_threads) {
        const std::int64_t plane = band / n_bands, first = band % n_bands * kTurnedBlock;
        const char* source =
            static_cast<const char*>(x->data) + static_cast<std::size_t>(plane % dst->ne[2]) * x->nb[2] +
            static_cast<std::size_t>(plane / dst->ne[2]) * x->nb[3] + static_cast<std::size_t>(first) * x->nb[0];
        float* target = static_cast<float*>(dst->data) + (plane * n_rows + first) * n_columns;
        for (std::int64_t column = 0; column < n_columns; column += kTurnedBlock)
            turn_block(source + static_cast<std::size_t>(column) * x->nb[1], x->nb[0], x->nb[1], target + column,
                       n_columns, std::min(kTurnedBlock, n_rows - first), std::min(kTurnedBlock, n_columns - column));
    }
}

}  // namespace

ggml_tensor* contiguous_transpose(ggml_context* context, ggml_tensor* x, bool on_cpu) {
    if (!on_cpu) return ggml_cont(context, ggml_transpose(context, x));
    return ggml_custom_4d(context, GGML_TYPE_F32, x->ne[1], x->ne[0], x->ne[2], x->ne[3], &x, 1, turn, GGML_N_TASKS_MAX,
                          nullptr);
}

}  // namespace plasticity
