#include "engine/weight_fill.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <span>
#include <vector>

#include "core/error.h"
#include "core/parallel.h"
#include "io/dequantize.h"

namespace plasticity {
namespace {

constexpr std::int64_t kTileElements = std::int64_t{1} << 20;

/// F32 → one of the unquantised types.
void convert_row(ggml_type type, const float* from, std::byte* to, std::int64_t n) {
    if (type == GGML_TYPE_F32)
        std::memcpy(to, from, static_cast<std::size_t>(n) * sizeof(float));
    else if (type == GGML_TYPE_F16)
        ggml_fp32_to_fp16_row(from, reinterpret_cast<ggml_fp16_t*>(to), n);
    else if (type == GGML_TYPE_BF16)
        ggml_fp32_to_bf16_row(from, reinterpret_cast<ggml_bf16_t*>(to), n);
    else
        throw Error(ErrorKind::kInternal, fmt::format("weights: no conversion to {}", ggml_type_name(type)));
}

/// A weight that is no number would spoil every result without a word of where it came from.
void require_finite(const ModelTensor& tensor, std::int64_t first_row, std::span<const float> values) {
    const auto bad = std::ranges::find_if_not(values, [](float value) { return std::isfinite(value); });
    if (bad == values.end()) return;
    const std::int64_t index = bad - values.begin();
    throw Error(ErrorKind::kMalformed,
                fmt::format("{}, row {}, column {}: got {}; expected finite weights. Is the model damaged?",
                            tensor.name, first_row + index / tensor.cols, index % tensor.cols, *bad));
}

/// Of quantised blocks `plasticity verify` checks the scales: dequantising them here would double the time to load.
void check_stored(const ModelTensor& source, std::int64_t row, std::int64_t n_rows, std::span<const std::byte> tile) {
    if (ggml_is_quantized(source.type)) return;
    std::vector<float> values(static_cast<std::size_t>(n_rows * source.cols));
    dequantize(source.type, tile, values);
    require_finite(source, row, values);
}

/// @param read  turns `n` rows from `row` on into the bytes that the target holds of them
template <typename Read>
void fill_by_tiles(const ModelTensor& source, int threads, ggml_tensor* target, const Read& read) {
    const auto rows_per_tile = std::max<std::int64_t>(1, kTileElements / source.cols);
    const auto n_tiles = static_cast<std::size_t>((source.rows + rows_per_tile - 1) / rows_per_tile);
    const std::size_t row_bytes = ggml_row_size(target->type, target->ne[0]);
    parallel_for(threads, n_tiles, [&](std::size_t tile) {
        const auto row = static_cast<std::int64_t>(tile) * rows_per_tile;
        const auto n = std::min(rows_per_tile, source.rows - row);
        std::vector<std::byte> bytes(static_cast<std::size_t>(n) * row_bytes);
        read(row, n, bytes);
        ggml_backend_tensor_set(target, bytes.data(), static_cast<std::size_t>(row) * row_bytes, bytes.size());
    });
}

/// A matrix in memory that can be read here: where it lies, or a copy of what lies on a device.
template <typename Element>
class ReadableMatrix {
public:
    explicit ReadableMatrix(const ggml_tensor* tensor) : values_(static_cast<const Element*>(tensor->data)) {
        if (ggml_backend_buffer_is_host(tensor->buffer)) return;
        copy_.resize(static_cast<std::size_t>(ggml_nelements(tensor)));
        fetch<Element>(tensor, copy_);
        values_ = copy_.data();
    }
    Element operator[](std::size_t at) const { return values_[at]; }

private:
    std::vector<Element> copy_;
    const Element* values_;
};

template <typename Element>
void fill_transposed_as(const ggml_tensor* from, int threads, ggml_tensor* target) {
    constexpr std::size_t kBlock = 64;  // both sides of a block stay in the first-level cache
    const auto cols = static_cast<std::size_t>(from->ne[0]), rows = static_cast<std::size_t>(from->ne[1]);
    const ReadableMatrix<Element> values(from);
    parallel_for(threads, (cols + kBlock - 1) / kBlock, [&](std::size_t block) {
        const std::size_t first = block * kBlock, last = std::min(cols, first + kBlock);
        std::vector<Element> turned((last - first) * rows);
        for (std::size_t row0 = 0; row0 < rows; row0 += kBlock)
            for (std::size_t col = first; col < last; ++col)
                for (std::size_t row = row0; row < std::min(rows, row0 + kBlock); ++row)
                    turned[(col - first) * rows + row] = values[row * cols + col];
        const auto bytes = std::as_bytes(std::span(turned));
        ggml_backend_tensor_set(target, bytes.data(), first * rows * sizeof(Element), bytes.size());
    });
}

}  // namespace

void fill_weight(const Model& model, const ModelTensor& source, const Backend& backend, ggml_tensor* target) {
    if (target->type == source.type)
        return fill_by_tiles(source, backend.threads(), target,
                             [&](std::int64_t row, std::int64_t n, std::span<std::byte> bytes) {
                                 model.read_rows(source, row, n, bytes);
                                 check_stored(source, row, n, bytes);
                             });
    fill_by_tiles(source, backend.threads(), target, [&](std::int64_t row, std::int64_t n, std::span<std::byte> bytes) {
        std::vector<float> values(static_cast<std::size_t>(n * source.cols));
        model.read_rows_f32(source, row, n, values);
        require_finite(source, row, values);
        convert_row(target->type, values.data(), bytes.data(), std::ssize(values));
    });
}

void fill_transposed(const ggml_tensor* from, const Backend& backend, ggml_tensor* target) {
    if (ggml_type_size(from->type) == sizeof(float))
        fill_transposed_as<float>(from, backend.threads(), target);
    else
        fill_transposed_as<std::uint16_t>(from, backend.threads(), target);
}

}  // namespace plasticity
