#include "artifact/type_names.h"

#include <algorithm>
#include <cctype>

namespace plasticity {
namespace {

std::string lower(std::string_view text) {
    std::string result(text);
    std::transform(result.begin(), result.end(), result.begin(),
                   [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
    return result;
}

/// Types that were removed have no name or no block; types used only between kernels cannot be turned back into floats.
bool holds_weights(ggml_type type) {
    if (type == GGML_TYPE_F32 || type == GGML_TYPE_F16 || type == GGML_TYPE_BF16) return true;
    return ggml_is_quantized(type) && ggml_blck_size(type) > 0 && ggml_type_size(type) > 0 &&
           ggml_get_type_traits(type)->to_float != nullptr;
}

}  // namespace

std::optional<ggml_type> parse_weight_type(std::string_view name) {
    std::string wanted = lower(name);
    for (const std::string_view suffix : {"_k_s", "_k_m", "_k_l"})
        if (wanted.ends_with(suffix)) wanted.resize(wanted.size() - 2);
    for (int i = 0; i < GGML_TYPE_COUNT; ++i) {
        const auto type = static_cast<ggml_type>(i);
        if (holds_weights(type) && lower(ggml_type_name(type)) == wanted) return type;
    }
    return std::nullopt;
}

std::optional<ggml_type> parse_kv_type(std::string_view name) {
    for (const ggml_type type : {GGML_TYPE_F16, GGML_TYPE_Q8_0, GGML_TYPE_Q4_0})
        if (lower(name) == ggml_type_name(type)) return type;
    return std::nullopt;
}

std::string weight_type_names() {
    std::string names;
    for (int i = 0; i < GGML_TYPE_COUNT; ++i) {
        const auto type = static_cast<ggml_type>(i);
        if (!holds_weights(type)) continue;
        if (!names.empty()) names += ", ";
        names += ggml_type_name(type);
    }
    return names;
}

double bits_per_weight(ggml_type type) {
    return 8.0 * static_cast<double>(ggml_type_size(type)) / static_cast<double>(ggml_blck_size(type));
}

}  // namespace plasticity
