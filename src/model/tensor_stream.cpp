#include "model/tensor_stream.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <vector>

#include "core/error.h"
#include "core/interrupt.h"

namespace plasticity {
namespace {

constexpr std::int64_t kTileElements = 1 << 20;

/// `count` units of `unit_bytes`, reordered within each head. @param rows  whole heads
void reorder(std::vector<std::byte>& rows, std::size_t unit_bytes, std::span<const std::int64_t> order) {
    std::vector<std::byte> head(unit_bytes * order.size());
    for (std::size_t begin = 0; begin < rows.size(); begin += head.size()) {
        std::memcpy(head.data(), rows.data() + begin, head.size());
        for (std::size_t row = 0; row < order.size(); ++row)
            std::memcpy(rows.data() + begin + row * unit_bytes,
                        head.data() + static_cast<std::size_t>(order[row]) * unit_bytes, unit_bytes);
    }
}

void require_representable(const ModelTensor& tensor, std::int64_t first_row, std::span<const float> values,
                           ggml_type type) {
    constexpr float kLargestHalf = 65504.0f;
    const float limit = type == GGML_TYPE_F16 ? kLargestHalf : std::numeric_limits<float>::max();
    const auto bad = std::ranges::find_if(values, [&](float value) { return !(std::abs(value) <= limit); });
    if (bad == values.end()) return;

    const std::int64_t index = bad - values.begin();
    const std::string where =
        fmt::format("{}, row {}, column {}", tensor.name, first_row + index / tensor.cols, index % tensor.cols);
    if (std::isfinite(*bad))
        throw Error(ErrorKind::kUsage, fmt::format("{}: {} does not fit f16; take bf16 or f32", where, *bad));
    throw Error(ErrorKind::kMalformed, fmt::format("{}: got {}; expected finite weights", where, *bad));
}

std::vector<std::byte> convert(std::span<const float> values, ggml_type type) {
    std::vector<std::byte> out(ggml_row_size(type, std::ssize(values)));
    if (type == GGML_TYPE_F16)
        ggml_fp32_to_fp16_row(values.data(), reinterpret_cast<ggml_fp16_t*>(out.data()), std::ssize(values));
    else if (type == GGML_TYPE_BF16)
        ggml_fp32_to_bf16_row(values.data(), reinterpret_cast<ggml_bf16_t*>(out.data()), std::ssize(values));
    else if (type == GGML_TYPE_F32)
        std::memcpy(out.data(), values.data(), out.size());
    else
        throw Error(ErrorKind::kInternal, fmt::format("tensor stream: cannot convert to {}", ggml_type_name(type)));
    return out;
}

std::vector<std::byte> read_tile(const Model& model, const ModelTensor& tensor, std::int64_t row, std::int64_t n_rows,
                                 const TensorForm& form) {
    const ggml_type type = form.type;
    if (ggml_is_quantized(type) && type == tensor.type) {
        std::vector<std::byte> stored(tensor.row_bytes() * static_cast<std::uint64_t>(n_rows));
        model.read_rows(tensor, row, n_rows, stored);
        return stored;
    }
    std::vector<float> values(static_cast<std::size_t>(n_rows * tensor.cols));
    model.read_rows_f32(tensor, row, n_rows, values);
    if (form.added != 0)
        for (float& value : values) value += form.added;
    require_representable(tensor, row, values, type);
    return convert(values, type);
}

}  // namespace

void stream_tensor(const Model& model, const ModelTensor& tensor, const TensorForm& form,
                   const std::function<void(std::span<const std::byte>)>& write, Progress& progress) {
    const Architecture& architecture = model.architecture();
    const bool is_rotated = tensor.id.role == TensorRole::kQuery || tensor.id.role == TensorRole::kKey;
    const bool turns = is_rotated && architecture.rope_layout != form.rope_layout;

    // A tile holds whole heads where rows move, since they move within their head only. A bias is a single row.
    const std::int64_t step = turns && !tensor.is_vector ? architecture.head_dim : 1;
    const std::int64_t tile_rows = std::max<std::int64_t>(1, kTileElements / (tensor.cols * step)) * step;
    const std::vector<std::int64_t> order =
        turns ? rope_row_order(1, architecture.head_dim, architecture.rope_layout, form.rope_layout)
              : std::vector<std::int64_t>{};
    const std::int64_t length = form.type == tensor.type ? tensor.row_length() : tensor.cols;
    const std::size_t unit_bytes = tensor.is_vector ? ggml_type_size(form.type) : ggml_row_size(form.type, length);

    for (std::int64_t row = 0; row < tensor.rows; row += tile_rows) {
        throw_if_interrupted();
        const std::int64_t n = std::min(tile_rows, tensor.rows - row);
        std::vector<std::byte> tile = read_tile(model, tensor, row, n, form);
        if (turns) reorder(tile, unit_bytes, order);
        write(tile);
        progress.advance(static_cast<std::uint64_t>(n * tensor.cols));
    }
}

}  // namespace plasticity
