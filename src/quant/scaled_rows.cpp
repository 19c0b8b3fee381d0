#include "quant/scaled_rows.h"

#include <fmt/format.h>

#include <array>
#include <cstdint>
#include <cstring>
#include <optional>

#include "core/error.h"

namespace plasticity {
namespace {

/// Where a block's F16 factors of all its weights lie: the scale, and what is added to every weight where there is
/// such. Source: ggml, ggml-common.h.
struct ScalePlaces {
    std::size_t scale;
    std::optional<std::size_t> offset{};
};

std::optional<ScalePlaces> scale_places(ggml_type type) {
    switch (type) {
        case GGML_TYPE_Q4_0:
        case GGML_TYPE_Q5_0:
        case GGML_TYPE_Q8_0:
        case GGML_TYPE_IQ4_NL:
        case GGML_TYPE_IQ4_XS:
        case GGML_TYPE_IQ3_S:
        case GGML_TYPE_IQ3_XXS:
        case GGML_TYPE_IQ2_S:
        case GGML_TYPE_IQ2_XS:
        case GGML_TYPE_IQ2_XXS:
            return ScalePlaces{0};
        case GGML_TYPE_Q4_1:
        case GGML_TYPE_Q5_1:
        case GGML_TYPE_Q4_K:
        case GGML_TYPE_Q5_K:
            return ScalePlaces{0, 2};
        case GGML_TYPE_Q2_K:
            return ScalePlaces{80, 82};
        case GGML_TYPE_Q3_K:
            return ScalePlaces{108};
        case GGML_TYPE_Q6_K:
            return ScalePlaces{208};
        default:
            return std::nullopt;
    }
}

void scale_half(std::byte* at, float factor) {
    ggml_fp16_t half = 0;
    std::memcpy(&half, at, sizeof half);
    half = ggml_fp32_to_fp16(ggml_fp16_to_fp32(half) * factor);
    std::memcpy(at, &half, sizeof half);
}

void scale_element(ggml_type type, std::byte* at, float factor) {
    if (type == GGML_TYPE_F16) return scale_half(at, factor);
    if (type == GGML_TYPE_BF16) {
        ggml_bf16_t value{};
        std::memcpy(&value, at, sizeof value);
        value = ggml_fp32_to_bf16(ggml_bf16_to_fp32(value) * factor);
        std::memcpy(at, &value, sizeof value);
        return;
    }
    float value = 0;
    std::memcpy(&value, at, sizeof value);
    value *= factor;
    std::memcpy(at, &value, sizeof value);
}

bool is_plain(ggml_type type) {
    return type == GGML_TYPE_F32 || type == GGML_TYPE_F16 || type == GGML_TYPE_BF16;
}

}  // namespace

bool scales_in_place(ggml_type type) {
    return is_plain(type) || scale_places(type).has_value();
}

void scale_rows(ggml_type type, std::span<std::byte> rows, float factor) {
    const std::size_t size = ggml_type_size(type);
    if (!scales_in_place(type) || rows.size() % size != 0)
        throw Error(ErrorKind::kInternal, fmt::format("scale: {} bytes of {}; expected whole blocks with F16 scales",
                                                      rows.size(), ggml_type_name(type)));
    const auto places = scale_places(type);
    for (std::size_t at = 0; at < rows.size(); at += size) {
        if (!places) {
            scale_element(type, rows.data() + at, factor);
            continue;
        }
        scale_half(rows.data() + at + places->scale, factor);
        if (places->offset) scale_half(rows.data() + at + *places->offset, factor);
    }
}

}  // namespace plasticity
