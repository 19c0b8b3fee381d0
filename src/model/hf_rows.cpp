#include "model/hf_rows.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <vector>

#include "io/printable.h"
#include "model/hf_dtype.h"

namespace plasticity {
namespace {

constexpr std::int64_t kChunkElements = 1 << 16;

using Shards = std::span<const SafetensorsReader>;

/// Elements [first, first + values.size()) of a tensor, row-major.
void read_f32(Shards shards, const ShardEntry& tensor, std::int64_t first, std::span<float> values) {
    const std::uint64_t element_bytes = safetensors_element_bytes(tensor.entry->dtype);
    std::vector<std::byte> stored(values.size() * element_bytes);
    shards[tensor.shard].read(*tensor.entry, static_cast<std::uint64_t>(first) * element_bytes, stored);
    convert_to_f32(tensor.entry->dtype, stored, values);
}

/// @param values  whole rows of the scaled tensor from `first_row` on
void multiply_by_scales(Shards shards, const WeightScale& scale, std::int64_t first_row, std::int64_t cols,
                        std::span<float> values) {
    const BlockSize& block = scale.block;
    const std::int64_t n_rows = std::ssize(values) / cols, n_across = (cols - 1) / block.cols + 1;
    const std::int64_t first_block = first_row / block.rows, last_block = (first_row + n_rows - 1) / block.rows;
    std::vector<float> factors(static_cast<std::size_t>((last_block - first_block + 1) * n_across));
    read_f32(shards, scale.stored, first_block * n_across, factors);

    for (std::int64_t row = 0; row < n_rows; ++row) {
        const std::int64_t block_row = (first_row + row) / block.rows - first_block;
        for (std::int64_t across = 0; across < n_across; ++across) {
            const float factor = factors[static_cast<std::size_t>(block_row * n_across + across)];
            const std::int64_t begin = across * block.cols, end = std::min(cols, begin + block.cols);
            float* weights = values.data() + row * cols;
            for (std::int64_t col = begin; col < end; ++col) weights[col] *= factor;
        }
    }
}

/// @param rows  within the stored tensor
void compute_rows(Shards shards, const StoredWeight& weight, RowRange rows, float added, std::span<std::byte> out) {
    const std::int64_t cols = weight.tensor.entry->shape.back();
    const std::int64_t chunk_rows = std::min(rows.end - rows.begin, std::max<std::int64_t>(1, kChunkElements / cols));
    std::vector<float> values(static_cast<std::size_t>(chunk_rows * cols));
    for (std::int64_t row = rows.begin; row < rows.end; row += chunk_rows) {
        const std::int64_t n_rows = std::min(chunk_rows, rows.end - row);
        const std::span chunk = std::span(values).first(static_cast<std::size_t>(n_rows * cols));
        read_f32(shards, weight.tensor, row * cols, chunk);
        if (weight.scale) multiply_by_scales(shards, *weight.scale, row, cols, chunk);
        if (added != 0)
            for (float& value : chunk) value += added;
        const std::size_t done = static_cast<std::size_t>((row - rows.begin) * cols) * sizeof(float);
        std::memcpy(out.data() + done, chunk.data(), chunk.size_bytes());
    }
}

void read_stored(Shards shards, const ShardEntry& tensor, std::int64_t first_row, std::span<std::byte> out) {
    const std::uint64_t row_bytes =
        safetensors_element_bytes(tensor.entry->dtype) * static_cast<std::uint64_t>(tensor.entry->shape.back());
    shards[tensor.shard].read(*tensor.entry, row_bytes * static_cast<std::uint64_t>(first_row), out);
}

/// The values of config.json are no tensor of any shard; they have one row.
void copy_computed(const HfSource& source, std::span<std::byte> out) {
    std::memcpy(out.data(), source.computed.data(), out.size());
}

}  // namespace

void read_hf_rows(Shards shards, const HfSource& source, RowRange rows, std::span<std::byte> out) {
    if (rows.begin == rows.end) return;
    if (source.parts.empty()) return copy_computed(source, out);

    const auto row_bytes = out.size() / static_cast<std::size_t>(rows.end - rows.begin);
    std::int64_t part_begin = 0;
    for (const HfRows& part : source.parts) {
        const std::int64_t begin = std::max(rows.begin, part_begin), end = std::min(rows.end, part_begin + part.n_rows);
        const RowRange within{begin - part_begin + part.first_row, end - part_begin + part.first_row};
        part_begin += part.n_rows;
        if (begin >= end) continue;
        const std::span target = out.subspan(row_bytes * static_cast<std::size_t>(begin - rows.begin),
                                             row_bytes * static_cast<std::size_t>(end - begin));
        if (source.is_offset_from_one || is_float8(part.weight.tensor.entry->dtype))
            compute_rows(shards, part.weight, within, source.is_offset_from_one ? 1.0f : 0.0f, target);
        else
            read_stored(shards, part.weight.tensor, within.begin, target);
    }
}

void check_scales(Shards shards, const HfSource& source, ProblemList& problems) {
    for (const HfRows& part : source.parts) {
        if (!part.weight.scale) continue;
        const ShardEntry& scale = part.weight.scale->stored;
        const auto n = static_cast<std::int64_t>(scale.entry->bytes / safetensors_element_bytes(scale.entry->dtype));
        std::vector<float> values;
        for (std::int64_t first = 0; first < n; first += kChunkElements) {
            values.resize(static_cast<std::size_t>(std::min(kChunkElements, n - first)));
            read_f32(shards, scale, first, values);
            const auto bad =
                std::ranges::find_if(values, [](float value) { return !(value >= 0 && std::isfinite(value)); });
            if (bad == values.end()) continue;
            problems.add(
                fmt::format("{}: got {} at index {}; expected finite scales of 0 or more. Is the model damaged?",
                            printable(scale.entry->name), *bad, first + (bad - values.begin())));
            break;
        }
    }
}

}  // namespace plasticity
