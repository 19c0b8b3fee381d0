#include "model/hf_dtype.h"

#include <fmt/format.h>

#include <algorithm>

#include "core/error.h"
#include "io/dequantize.h"
#include "model/float8.h"

namespace plasticity {

std::optional<ggml_type> type_of_dtype(std::string_view dtype) {
    if (dtype == "F32") return GGML_TYPE_F32;
    if (dtype == "F16") return GGML_TYPE_F16;
    if (dtype == "BF16") return GGML_TYPE_BF16;
    return std::nullopt;
}

bool is_float8(std::string_view dtype) {
    return dtype == "F8_E4M3" || dtype == "F8_E5M2";
}

std::optional<ggml_type> weight_type_of_dtype(std::string_view dtype) {
    return is_float8(dtype) ? GGML_TYPE_F32 : type_of_dtype(dtype);
}

bool is_scale_dtype(std::string_view dtype) {
    return type_of_dtype(dtype) || dtype == "F8_E8M0";
}

void convert_to_f32(std::string_view dtype, std::span<const std::byte> stored, std::span<float> values) {
    const std::optional<ggml_type> type = type_of_dtype(dtype);
    if (const Float8Values* of_code = float8_values(dtype))
        std::ranges::transform(stored, values.begin(),
                               [&](std::byte code) { return (*of_code)[std::to_integer<std::size_t>(code)]; });
    else if (type)
        dequantize(*type, stored, values);
    else
        throw Error(ErrorKind::kInternal, fmt::format("no conversion from {} to F32", dtype));
}

std::int64_t rows_in(const SafetensorsEntry& entry) {
    return entry.shape.size() == 1 ? 1 : entry.shape.front();
}

}  // namespace plasticity
