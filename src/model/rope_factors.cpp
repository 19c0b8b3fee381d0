#include "model/rope_factors.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <numbers>

#include "model/config_fields.h"

namespace plasticity {

std::optional<Llama3Rope> llama3_rope_from_config(const nlohmann::json& config) {
    const nlohmann::json* fields = rope_fields(config);
    if (!fields || rope_type_of(*fields) != "llama3") return std::nullopt;

    const Llama3Rope usual;
    const Llama3Rope rope{
        .factor = static_cast<float>(real_field(*fields, "factor").value_or(usual.factor)),
        .low_freq_factor = static_cast<float>(real_field(*fields, "low_freq_factor").value_or(usual.low_freq_factor)),
        .high_freq_factor =
            static_cast<float>(real_field(*fields, "high_freq_factor").value_or(usual.high_freq_factor)),
        .original_context_length =
            integer_field(*fields, "original_max_position_embeddings").value_or(usual.original_context_length),
    };
    const bool is_ramp = std::isfinite(rope.factor) && rope.factor > 0 && rope.low_freq_factor > 0 &&
                         std::isfinite(rope.high_freq_factor) && rope.high_freq_factor > rope.low_freq_factor &&
                         rope.original_context_length > 0;
    if (!is_ramp)
        throw Error(
            ErrorKind::kMalformed,
            fmt::format("rope_scaling llama3: got factor {}, low_freq_factor {}, high_freq_factor {}, "
                        "original_max_position_embeddings {}; expected positive numbers, high above low",
                        rope.factor, rope.low_freq_factor, rope.high_freq_factor, rope.original_context_length));
    return rope;
}

std::vector<float> rope_frequency_factors(const Llama3Rope& rope, float freq_base, std::int32_t n_rot) {
    const float longest_kept = static_cast<float>(rope.original_context_length) / rope.high_freq_factor;
    const float shortest_stretched = static_cast<float>(rope.original_context_length) / rope.low_freq_factor;

    std::vector<float> factors;
    for (std::int32_t i = 0; i < n_rot; i += 2) {
        const float frequency = 1.0f / std::pow(freq_base, static_cast<float>(i) / static_cast<float>(n_rot));
        const float wavelength = 2.0f * std::numbers::pi_v<float> / frequency;
        if (wavelength < longest_kept) {
            factors.push_back(1.0f);
        } else if (wavelength > shortest_stretched) {
            factors.push_back(rope.factor);
        } else {
            const float turns = static_cast<float>(rope.original_context_length) / wavelength;
            const float smooth = (turns - rope.low_freq_factor) / (rope.high_freq_factor - rope.low_freq_factor);
            factors.push_back(1.0f / ((1.0f - smooth) / rope.factor + smooth));
        }
    }
    return factors;
}

std::optional<Llama3Rope> recognise_llama3_rope(std::span<const float> factors, float freq_base) {
    if (factors.empty()) return std::nullopt;
    const auto n_rot = static_cast<std::int32_t>(factors.size() * 2);
    for (const std::int32_t original_context_length : std::array{8192, 4096, 16384, 32768, 131072}) {
        const Llama3Rope rope{.factor = *std::ranges::max_element(factors),
                              .original_context_length = original_context_length};
        const std::vector<float> expected = rope_frequency_factors(rope, freq_base, n_rot);
        const auto is_close = [](float a, float b) { return std::abs(a - b) <= 1e-4f * std::abs(b); };
        if (std::ranges::equal(factors, expected, is_close)) return rope;
    }
    return std::nullopt;
}

}  // namespace plasticity
