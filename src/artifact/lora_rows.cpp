#include "artifact/lora_rows.h"

#include <algorithm>

namespace plasticity {

LoraAdapter in_rope_layout(const LoraAdapter& adapter, const Architecture& architecture, RopeLayout from,
                           RopeLayout to) {
    LoraAdapter moved = adapter;
    if (from == to) return moved;
    const auto rank = static_cast<std::size_t>(adapter.rank);
    for (LoraMatrix& matrix : moved.matrices) {
        if (matrix.id.role != TensorRole::kQuery && matrix.id.role != TensorRole::kKey) continue;
        const auto n_heads = static_cast<std::int32_t>(matrix.rows / architecture.head_dim);
        const auto order = rope_row_order(n_heads, architecture.head_dim, from, to);
        const std::vector<float> before = matrix.b;
        for (std::size_t row = 0; row < order.size(); ++row)
            std::copy_n(before.begin() + order[row] * adapter.rank, rank,
                        matrix.b.begin() + static_cast<std::ptrdiff_t>(row * rank));
    }
    return moved;
}

}  // namespace plasticity
