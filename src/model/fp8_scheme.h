#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <optional>

namespace plasticity {

/// Rows and columns of a weight that share one scale.
struct BlockSize {
    std::int64_t rows = 0;
    std::int64_t cols = 0;
    bool operator==(const BlockSize&) const = default;
};

/// What config.json says of weights stored in 8-bit floating point.
struct Fp8Scheme {
    bool is_quantized = false;       ///< there is a quantization_config: weights in FP8 have scales
    std::optional<BlockSize> block;  ///< where scales are for blocks, not for rows or whole tensors
};

/// Reads `quantization_config` (compressed-tensors once wrote `compression_config`).
///
///     {"quant_method": "fp8", "weight_block_size": [128, 128]}            blocks; without the size one scale per
///     tensor
///     {"quant_method": "fbgemm_fp8"}                                      one per row
///     {"quant_method": "compressed-tensors", "config_groups": {"group_0":
///        {"weights": {"num_bits": 8, "type": "float", "block_structure": [128, 128]}}}}     likewise, or one per row
///
/// Sources: transformers, FineGrainedFP8Config and FbgemmFp8Config; compressed-tensors, QuantizationArgs.
/// @throws Error (kMalformed) at other methods, which this program cannot read, and at sizes that are none
Fp8Scheme fp8_scheme_from_config(const nlohmann::json& config);

}  // namespace plasticity
