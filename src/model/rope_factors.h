#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <span>
#include <vector>

namespace plasticity {

/// Hugging Face's rope type "llama3": slow rotations are stretched by `factor`, fast ones kept, a ramp between.
struct Llama3Rope {
    float factor = 8.0f;
    float low_freq_factor = 1.0f;
    float high_freq_factor = 4.0f;
    std::int32_t original_context_length = 8192;
};

/// The scheme of a config.json's rope_scaling or rope_parameters, when that is what it names.
/// @throws Error (kMalformed) when its numbers make no ramp
std::optional<Llama3Rope> llama3_rope_from_config(const nlohmann::json& config);

/// What GGUF stores instead, `rope_freqs.weight`: a divisor for each of the n_rot / 2 rotation frequencies.
/// Source: llama.cpp, conversion/llama.py (generate_extra_tensors).
std::vector<float> rope_frequency_factors(const Llama3Rope& rope, float freq_base, std::int32_t n_rot);

/// The inverse, by trying the parameters that Llama 3 models are published with; nothing when none gives `factors`.
std::optional<Llama3Rope> recognise_llama3_rope(std::span<const float> factors, float freq_base);

}  // namespace plasticity
