#pragma once

#include <cstddef>
#include <functional>
#include <map>
#include <optional>
#include <string>

#include "io/problem_list.h"
#include "io/safetensors_reader.h"
#include "model/fp8_scheme.h"

namespace plasticity {

/// A tensor of one of a folder's safetensors files.
struct ShardEntry {
    std::size_t shard = 0;
    const SafetensorsEntry* entry = nullptr;
};

/// What the stored values of a weight [rows × cols] are multiplied by: a tensor of one factor for each block.
///
///     whole tensor   [], [1] or [1 × 1]                                        block = {rows, cols}
///     each row       [rows] or [rows × 1]                                      block = {1, cols}
///     blocks         [⌈rows / block.rows⌉ × ⌈cols / block.cols⌉], row-major    the last of a row or column may be cut
struct WeightScale {
    ShardEntry stored;
    BlockSize block;
};

/// The scales of FP8 weights among the tensors of a Hugging Face folder: `NAME.weight_scale_inv` (transformers,
/// DeepSeek; in spite of the name the factor itself) and `NAME.weight_scale` (vLLM, compressed-tensors, FBGEMM).
///
/// take() all tensors, then claim() for every weight, then report_unclaimed().
/// Sources: transformers, integrations/finegrained_fp8.py and fbgemm_fp8.py; vLLM, quantization/fp8.py and
/// compressed_tensors/schemes/compressed_tensors_w8a8_fp8.py; llama.cpp, conversion/base.py (dequant_model).
class WeightScales {
public:
    explicit WeightScales(const Fp8Scheme& scheme) : scheme_(scheme) {}

    /// @param tensor  outlives this
    /// @returns whether it is a scale, of weights or of activations: the latter are not needed and left out
    bool take(const ShardEntry& tensor, ProblemList& problems);
    /// The scale of a weight of one or two dimensions. Its absence is a problem only for FP8 where config.json says
    /// that there are scales.
    std::optional<WeightScale> claim(const SafetensorsEntry& weight, ProblemList& problems);
    void report_unclaimed(ProblemList& problems) const;

private:
    struct Taken {
        ShardEntry stored;
        bool is_claimed = false;
    };

    std::optional<BlockSize> block_of(const SafetensorsEntry& scale, const SafetensorsEntry& weight) const;
    std::string expected_shapes(const SafetensorsEntry& weight) const;

    Fp8Scheme scheme_;
    std::map<std::string, Taken, std::less<>> by_weight_;
};

}  // namespace plasticity
