#include "engine/gram_product.h"

#include <algorithm>
#include <vector>

#include "core/interrupt.h"

namespace plasticity {
namespace {

constexpr std::size_t kMaxGramNodes = 8;
/// Rows that a product is over: few enough for what is read again to stay in caches.
constexpr std::int64_t kRowsTogether = 1024;
/// Entries of a product that exist at once, as F32.
constexpr std::int64_t kProductEntries = std::int64_t{1} << 22;

/// [n_rows][width], columns [first, first + n) → [n][n_rows]
std::vector<float> transposed(std::span<const float> rows, std::int64_t width, std::int64_t first, std::int64_t n) {
    const std::int64_t n_rows = std::ssize(rows) / width;
    std::vector<float> result(static_cast<std::size_t>(n * n_rows));
    for (std::int64_t row = 0; row < n_rows; ++row)
        for (std::int64_t col = 0; col < n; ++col)
            result[static_cast<std::size_t>(col * n_rows + row)] =
                rows[static_cast<std::size_t>(row * width + first + col)];
    return result;
}

}  // namespace

void GramProduct::add(std::span<const float> rows, std::int64_t width, std::int64_t block, std::span<double> packed) {
    const auto step = static_cast<std::size_t>(kRowsTogether * width);
    for (std::size_t first = 0; first < rows.size(); first += step)
        add_some(rows.subspan(first, std::min(step, rows.size() - first)), width, block, packed);
}

void GramProduct::add_some(std::span<const float> rows, std::int64_t width, std::int64_t block,
                           std::span<double> packed) {
    const std::int64_t n_rows = std::ssize(rows) / width, step = std::max<std::int64_t>(1, kProductEntries / block);
    std::size_t at = 0;
    std::vector<float> product;
    for (std::int64_t first = 0; first < width; first += block) {
        const std::vector<float> channels = transposed(rows, width, first, block);
        for (std::int64_t top = 0; top < block; top += step) {  // of the lower triangle, some rows at a time
            throw_if_interrupted();
            const std::int64_t n = std::min(step, block - top), n_cols = top + n;
            graph_.begin(kMaxGramNodes);
            ggml_tensor* x = graph_.input(GGML_TYPE_F32, n_rows, n_cols);
            ggml_tensor* some =
                ggml_view_2d(graph_.context(), x, n_rows, n, x->nb[1], static_cast<std::size_t>(top) * x->nb[1]);
            ggml_tensor* products = graph_.keep(ggml_mul_mat(graph_.context(), x, some));
            graph_.prepare();
            fill<float>(x, std::span(channels).first(static_cast<std::size_t>(n_cols * n_rows)));
            graph_.run();
            product.resize(static_cast<std::size_t>(n * n_cols));
            fetch<float>(products, product);
            for (std::int64_t row = 0; row < n; ++row)
                for (std::int64_t col = 0; col <= top + row; ++col)
                    packed[at++] += double{product[static_cast<std::size_t>(row * n_cols + col)]};
        }
    }
}

}  // namespace plasticity
