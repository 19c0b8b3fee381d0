#include "support/hf_folder.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "io/atomic_file.h"
#include "io/safetensors_reader.h"
#include "io/safetensors_writer.h"
#include "io/shard_index.h"
#include "model/hf_dtype.h"
#include "support/float8_reference.h"

namespace plasticity::test {
namespace {

/// The numbers of a format from 0 up, each with its code.
std::vector<std::pair<float, std::uint8_t>> positive_values(const std::string& dtype) {
    std::vector<std::pair<float, std::uint8_t>> values;
    for (int code = 0; code < 128; ++code)
        if (const double value = float8_by_definition(dtype, static_cast<std::uint8_t>(code)); std::isfinite(value))
            values.emplace_back(static_cast<float>(value), static_cast<std::uint8_t>(code));
    return values;  // codes are in order of magnitude
}

std::uint8_t nearest_code(const std::vector<std::pair<float, std::uint8_t>>& values, float wanted) {
    const float magnitude = std::fabs(wanted);
    auto above = std::ranges::lower_bound(values, magnitude, {}, [](const auto& value) { return value.first; });
    if (above == values.end()) --above;
    const bool is_below_nearer =
        above != values.begin() && magnitude - std::prev(above)->first < above->first - magnitude;
    const std::uint8_t code = is_below_nearer ? std::prev(above)->second : above->second;
    return static_cast<std::uint8_t>(code | (std::signbit(wanted) ? 0x80 : 0));
}

/// Of the scale as it is stored. @returns its value
float round_scale(float scale, const std::string& dtype, std::byte* stored) {
    if (dtype == "F8_E8M0") {
        const int exponent = std::ilogb(scale) + 1;  // rounded up: the largest weight must still fit
        *stored = static_cast<std::byte>(exponent + 127);
        return std::ldexp(1.0f, exponent);
    }
    if (dtype == "BF16") {
        const ggml_bf16_t rounded = ggml_fp32_to_bf16(scale);
        std::memcpy(stored, &rounded, sizeof rounded);
        return ggml_bf16_to_fp32(rounded);
    }
    std::memcpy(stored, &scale, sizeof scale);
    return scale;
}

std::vector<float> values_of(const FolderTensor& tensor) {
    std::vector<float> values(tensor.bytes.size() / safetensors_element_bytes(tensor.dtype));
    convert_to_f32(tensor.dtype, tensor.bytes, values);
    return values;
}

FolderTensor as_f32(const std::vector<float>& values, const std::vector<std::int64_t>& shape) {
    FolderTensor tensor{.dtype = "F32", .shape = shape, .bytes = {}};
    const auto bytes = std::as_bytes(std::span(values));
    tensor.bytes.assign(bytes.begin(), bytes.end());
    return tensor;
}

/// A weight on its way to FP8. Blocks are numbered row by row.
struct Turned {
    FolderTensor codes, scales;
    std::vector<float> dequantized;
};

Turned turn_weight(const FolderTensor& source, const Fp8Layout& layout) {
    static const auto e4m3 = positive_values("F8_E4M3"), e5m2 = positive_values("F8_E5M2");
    const auto& grid = layout.dtype == "F8_E5M2" ? e5m2 : e4m3;
    const std::vector<float> values = values_of(source);
    const std::int64_t rows = source.shape[0], cols = source.shape[1];
    const std::int64_t block_rows = layout.block_rows ? layout.block_rows : rows;
    const std::int64_t block_cols = layout.block_cols ? layout.block_cols : cols;
    const std::int64_t down = (rows + block_rows - 1) / block_rows, across = (cols + block_cols - 1) / block_cols;

    Turned turned{.codes = {layout.dtype, source.shape, std::vector<std::byte>(values.size())},
                  .scales = {layout.scale_dtype, {down, across}, {}},
                  .dequantized = std::vector<float>(values.size())};
    const std::uint64_t scale_bytes = safetensors_element_bytes(layout.scale_dtype);
    turned.scales.bytes.resize(static_cast<std::size_t>(down * across) * scale_bytes);
    if (layout.flat_scales) turned.scales.shape.pop_back();
    if (layout.flat_scales && down == 1) turned.scales.shape.clear();

    for (std::int64_t block = 0; block < down * across; ++block) {
        const std::int64_t top = block / across * block_rows, left = block % across * block_cols;
        const auto for_each = [&](const auto& action) {
            for (std::int64_t row = top; row < std::min(rows, top + block_rows); ++row)
                for (std::int64_t col = left; col < std::min(cols, left + block_cols); ++col)
                    action(static_cast<std::size_t>(row * cols + col));
        };
        float largest = 0x1p-60f;
        for_each([&](std::size_t i) { largest = std::max(largest, std::fabs(values[i])); });
        const float scale =
            layout.scale_suffix.empty()
                ? 1.0f
                : round_scale(largest / grid.back().first, layout.scale_dtype,
                              turned.scales.bytes.data() + static_cast<std::size_t>(block) * scale_bytes);
        for_each([&](std::size_t i) {
            const std::uint8_t code = nearest_code(grid, values[i] / scale);
            turned.codes.bytes[i] = static_cast<std::byte>(code);
            const auto value = grid[code % 128].first;  // finite codes begin at 0 without a gap
            turned.dequantized[i] = (code >= 128 ? -value : value) * scale;
        });
    }
    return turned;
}

}  // namespace

HfFolder load_folder(const std::filesystem::path& folder) {
    HfFolder content{.config = nlohmann::json::parse(read_text_file(folder / "config.json")), .tensors = {}};
    for (const std::filesystem::path& path : read_shard_index(folder).shards) {
        const SafetensorsReader shard(path);
        for (const SafetensorsEntry& entry : shard.entries()) {
            FolderTensor& tensor = content.tensors[entry.name];
            tensor = {entry.dtype, entry.shape, std::vector<std::byte>(entry.bytes)};
            shard.read(entry, 0, tensor.bytes);
        }
    }
    return content;
}

std::filesystem::path write_folder(const std::filesystem::path& folder, const HfFolder& content, int n_shards) {
    std::filesystem::create_directories(folder);
    write_text_file(folder / "config.json", content.config.dump(), Overwrite::kReplace);
    nlohmann::json index{{"metadata", nlohmann::json::object()}, {"weight_map", nlohmann::json::object()}};
    for (int shard = 0; shard < n_shards; ++shard) {
        const std::string name =
            n_shards == 1 ? "model.safetensors" : "model-" + std::to_string(shard) + ".safetensors";
        std::vector<SafetensorsSpec> specs;
        std::vector<const FolderTensor*> tensors;
        int turn = 0;
        for (const auto& [tensor_name, tensor] : content.tensors) {
            if (turn++ % n_shards != shard) continue;
            specs.push_back({tensor_name, tensor.dtype, tensor.shape});
            tensors.push_back(&tensor);
            index["weight_map"][tensor_name] = name;
        }
        SafetensorsWriter writer(folder / name, specs, Overwrite::kReplace);
        for (const FolderTensor* tensor : tensors) writer.write(tensor->bytes);
        writer.finish();
    }
    if (n_shards > 1) write_text_file(folder / "model.safetensors.index.json", index.dump(), Overwrite::kReplace);
    return folder;
}

HfFolder turn_to_fp8(HfFolder& folder, const Fp8Layout& layout) {
    HfFolder dequantized = folder;
    for (const auto& [name, source] : dequantized.tensors) {
        if (!name.ends_with("_proj.weight") || source.shape.size() != 2) continue;
        Turned turned = turn_weight(source, layout);
        folder.tensors[name] = std::move(turned.codes);
        if (!layout.scale_suffix.empty()) folder.tensors[name + layout.scale_suffix] = std::move(turned.scales);
        dequantized.tensors[name] = as_f32(turned.dequantized, source.shape);
    }
    return dequantized;
}

}  // namespace plasticity::test
