#include "model/rope_layout.h"

#include <fmt/format.h>

#include <numeric>

#include "core/error.h"

namespace plasticity {
namespace {

void require_head_shape(std::int32_t n_heads, std::int32_t head_dim) {
    if (n_heads >= 1 && head_dim >= 2 && head_dim % 2 == 0) return;
    throw Error(ErrorKind::kMalformed, fmt::format("attention: got {} heads of {} dimensions; expected at least one "
                                                   "head of an even number of dimensions",
                                                   n_heads, head_dim));
}

}  // namespace

std::vector<std::int64_t> rope_row_order(std::int32_t n_heads, std::int32_t head_dim, RopeLayout from, RopeLayout to) {
    require_head_shape(n_heads, head_dim);
    const std::int64_t half = head_dim / 2;

    std::vector<std::int64_t> order(static_cast<std::size_t>(n_heads) * static_cast<std::size_t>(head_dim));
    std::iota(order.begin(), order.end(), std::int64_t{0});
    if (from == to) return order;

    for (std::int64_t row = 0; row < std::ssize(order); ++row) {
        const std::int64_t head = row / head_dim;
        const std::int64_t within = row % head_dim;
        // One step transposes the head's [2, half] to [half, 2], the other takes it back.
        const std::int64_t source =
            to == RopeLayout::kNorm ? within % 2 * half + within / 2 : within % half * 2 + within / half;
        order[static_cast<std::size_t>(row)] = head * head_dim + source;
    }
    return order;
}

std::vector<std::int64_t> rows_of_heads(std::span<const std::int32_t> kept_heads, std::int32_t n_heads,
                                        std::int32_t head_dim) {
    require_head_shape(n_heads, head_dim);

    std::vector<std::int64_t> rows;
    rows.reserve(kept_heads.size() * static_cast<std::size_t>(head_dim));
    std::int32_t previous = -1;
    for (const std::int32_t head : kept_heads) {
        if (head <= previous || head >= n_heads)
            throw Error(ErrorKind::kMalformed,
                        fmt::format("topology: got kept head {} after {}; expected ascending indices below {}", head,
                                    previous, n_heads));
        for (std::int64_t row = 0; row < head_dim; ++row) rows.push_back(std::int64_t{head} * head_dim + row);
        previous = head;
    }
    return rows;
}

}  // namespace plasticity
