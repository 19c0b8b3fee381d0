#include "quant/codebook.h"

#include <ggml.h>

#include <cstdint>
#include <cstring>
#include <vector>

namespace plasticity {
namespace {

/// IQ4_NL: F16 scale, then 16 bytes; byte j holds weight j in its low half and weight j + 16 in its high half.
Codebook read_codebook() {
    std::vector<std::uint8_t> block(ggml_type_size(GGML_TYPE_IQ4_NL));
    const ggml_fp16_t one = ggml_fp32_to_fp16(1.0f);
    std::memcpy(block.data(), &one, sizeof one);
    for (std::uint8_t code = 0; code < 16; ++code) block[sizeof one + code] = code;
    std::array<float, 32> values;
    ggml_get_type_traits(GGML_TYPE_IQ4_NL)->to_float(block.data(), values.data(), values.size());

    Codebook codebook;
    for (std::size_t k = 0; k < codebook.levels.size(); ++k) codebook.levels[k] = values[k];
    for (std::size_t k = 0; k < codebook.midpoints.size(); ++k)
        codebook.midpoints[k] = 0.5f * (codebook.levels[k] + codebook.levels[k + 1]);
    return codebook;
}

}  // namespace

const Codebook& iq4_codebook() {
    static const Codebook codebook = read_codebook();
    return codebook;
}

}  // namespace plasticity
