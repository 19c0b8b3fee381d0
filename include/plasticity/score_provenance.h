#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "plasticity/export.h"

namespace plasticity {

/// Where a score came from; two maps may be merged or used together only where these agree.
struct ScoreProvenance {
    std::string model_sha256;
    std::string tokenizer_sha256;  ///< of the `tokenizer.*` metadata
    std::string data_sha256;       ///< over the token ids of all examples, in order; of all slices the same
    std::int32_t chunk = 512;      ///< tokens an example of plain text holds
    std::string precision;         ///< of weights in matrix products: "f32", "f16", "bf16"
    std::string program_version;
    std::string adapter_sha256{};  ///< of the LoRA adapter that was used, or started from; empty: none
    bool operator==(const ScoreProvenance&) const = default;
};

/// One of `count` consecutive parts that the examples are cut into, as equal in number as can be. Slices of a run share
/// no example, lack none, and depend on nothing but the three numbers.
struct ScoreSlice {
    std::int32_t index = 1;       ///< 1 to count
    std::int32_t count = 1;       ///< 1 to kMaxSlices
    std::int64_t n_examples = 0;  ///< of all slices together

    std::int64_t first() const { return bound(index - 1); }
    std::int64_t size() const { return bound(index) - bound(index - 1); }
    bool operator==(const ScoreSlice&) const = default;

private:
    /// Examples before the end of slice i: ⌊n · i / count⌋, without the product, which could be too large.
    std::int64_t bound(std::int64_t i) const { return n_examples / count * i + n_examples % count * i / count; }
};

inline constexpr std::int32_t kMaxSlices = 1 << 20;

/// "2/5": the second of five. @throws Error (kUsage)
PLASTICITY_API ScoreSlice parse_score_slice(std::string_view text);

}  // namespace plasticity
