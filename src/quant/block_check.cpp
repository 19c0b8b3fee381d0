#include "quant/block_check.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>

#include "core/error.h"
#include "io/dequantize.h"

namespace plasticity {
namespace {

/// Elements dequantised at a time: a multiple of every block ggml has, and small enough for the first-level cache.
constexpr std::int64_t kChunk = 4096;

constexpr std::uint32_t kMagnitude = 0x7fff'ffffu;

/// Without their sign bit, floats order as integers do, infinities and NaN above all others. Integers let the compiler
/// use vector instructions where float comparisons, for NaN's sake, would not.
std::uint32_t largest_magnitude(std::span<const float> values) {
    std::uint32_t largest = 0;
    for (const float value : values) largest = std::max(largest, std::bit_cast<std::uint32_t>(value) & kMagnitude);
    return largest;
}

std::optional<std::int64_t> first_non_finite_double(std::span<const std::byte> bytes) {
    for (std::size_t at = 0; at < bytes.size(); at += sizeof(double)) {
        double value = 0;
        std::memcpy(&value, bytes.data() + at, sizeof value);
        if (!std::isfinite(value)) return static_cast<std::int64_t>(at / sizeof(double));
    }
    return std::nullopt;
}

}  // namespace

std::optional<std::int64_t> first_beyond(std::span<const float> values, float limit) {
    const auto bound = std::bit_cast<std::uint32_t>(limit);
    for (std::size_t begin = 0; begin < values.size(); begin += kChunk) {
        const auto chunk = values.subspan(begin, std::min<std::size_t>(kChunk, values.size() - begin));
        if (largest_magnitude(chunk) <= bound) continue;
        const auto at = std::ranges::find_if_not(chunk, [&](float value) { return std::fabs(value) <= limit; });
        return static_cast<std::int64_t>(begin) + (at - chunk.begin());
    }
    return std::nullopt;
}

std::optional<std::int64_t> first_non_finite(std::span<const float> values) {
    return first_beyond(values, std::numeric_limits<float>::max());
}

std::optional<std::int64_t> first_non_finite(ggml_type type, std::span<const std::byte> bytes) {
    if (bytes.size() % ggml_type_size(type) != 0)
        throw Error(ErrorKind::kInternal, fmt::format("numerics: {} bytes of {}; expected blocks of {} bytes",
                                                      bytes.size(), ggml_type_name(type), ggml_type_size(type)));
    if (type == GGML_TYPE_F64) return first_non_finite_double(bytes);
    if (ggml_get_type_traits(type)->to_float == nullptr && type != GGML_TYPE_F32) return std::nullopt;

    std::array<float, kChunk> values;
    const auto n_elements = static_cast<std::int64_t>(bytes.size() / ggml_type_size(type)) * ggml_blck_size(type);
    for (std::int64_t begin = 0; begin < n_elements; begin += kChunk) {
        const std::int64_t count = std::min(kChunk, n_elements - begin);
        const std::span chunk = std::span(values).first(static_cast<std::size_t>(count));
        dequantize(type, bytes.subspan(ggml_row_size(type, begin)), chunk);
        if (const auto bad = first_non_finite(std::span<const float>(chunk))) return begin + *bad;
    }
    return std::nullopt;
}

}  // namespace plasticity
