#include "model/fp8_scheme.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "core/error.h"
#include "io/printable.h"
#include "model/config_fields.h"

namespace plasticity {
namespace {

[[noreturn]] void refuse_method(std::string_view method) {
    throw Error(ErrorKind::kMalformed,
                fmt::format("quantization_config: weights quantised by {} cannot be read; use the original, or one in "
                            "FP8 (fp8, fbgemm_fp8, compressed-tensors)",
                            method));
}

std::optional<BlockSize> block_size(const nlohmann::json& object, std::string_view key) {
    const nlohmann::json* sizes = field(object, key);
    if (!sizes) return std::nullopt;
    const auto is_size = [](const nlohmann::json& size) {
        constexpr std::int64_t kMost = std::int64_t{1} << 30;
        return size.is_number_integer() && size.get<std::int64_t>() >= 1 && size.get<std::int64_t>() <= kMost;
    };
    if (!sizes->is_array() || sizes->size() != 2 || !is_size((*sizes)[0]) || !is_size((*sizes)[1]))
        throw Error(
            ErrorKind::kMalformed,
            fmt::format("quantization_config: {}: expected two whole numbers above 0, such as [128, 128]", key));
    return BlockSize{(*sizes)[0].get<std::int64_t>(), (*sizes)[1].get<std::int64_t>()};
}

/// Groups of modules may differ in how their scales lie, but not in the size of blocks.
std::optional<BlockSize> block_of_groups(const nlohmann::json& quantization) {
    const nlohmann::json* groups = field(quantization, "config_groups");
    std::optional<BlockSize> block;
    if (!groups || !groups->is_object() || groups->empty()) refuse_method("compressed-tensors without config_groups");
    for (const auto& [name, group] : groups->items()) {
        const nlohmann::json* weights = field(group, "weights");
        if (!weights || integer_field(*weights, "num_bits") != 8 || text_field(*weights, "type") != "float")
            refuse_method(fmt::format("compressed-tensors in {} other than 8-bit floats", printable(name)));
        const std::optional<BlockSize> own = block_size(*weights, "block_structure");
        if (own && block && *own != *block) refuse_method("compressed-tensors with blocks of two sizes");
        if (own) block = own;
    }
    return block;
}

}  // namespace

Fp8Scheme fp8_scheme_from_config(const nlohmann::json& config) {
    const nlohmann::json* quantization = field(config, "quantization_config");
    if (!quantization) quantization = field(config, "compression_config");
    if (!quantization) return {};

    const std::string method = text_field(*quantization, "quant_method").value_or("an unnamed method");
    // Weights that activations must be rotated for are not the model's own.
    if (const nlohmann::json* transform = field(*quantization, "transform_config"); transform && !transform->empty())
        refuse_method(printable(method) + " with transform_config");
    if (method == "fp8") return {true, block_size(*quantization, "weight_block_size")};
    if (method == "fbgemm_fp8") return {true, std::nullopt};
    if (method == "compressed-tensors") return {true, block_of_groups(*quantization)};
    refuse_method(printable(method));
}

}  // namespace plasticity
