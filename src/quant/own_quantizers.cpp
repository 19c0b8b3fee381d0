#include "quant/own_quantizers.h"

#include "quant/flat_blocks.h"

namespace plasticity {

QuantizeBlocks own_quantizer(ggml_type type) {
    switch (type) {
        case GGML_TYPE_Q4_0:
            return quantize_q4_0;
        case GGML_TYPE_Q5_0:
            return quantize_q5_0;
        case GGML_TYPE_Q8_0:
            return quantize_q8_0;
        case GGML_TYPE_IQ4_NL:
            return quantize_iq4_nl;
        default:
            return nullptr;
    }
}

}  // namespace plasticity
