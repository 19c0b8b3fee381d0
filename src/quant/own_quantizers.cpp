#include "quant/own_quantizers.h"

#include "quant/affine_blocks.h"
#include "quant/affine_super_blocks.h"
#include "quant/flat_blocks.h"
#include "quant/grid_blocks.h"
#include "quant/signed_grid.h"
#include "quant/super_blocks.h"

namespace plasticity {

QuantizeBlocks own_quantizer(ggml_type type) {
    switch (type) {
        case GGML_TYPE_Q4_0:
            return quantize_q4_0;
        case GGML_TYPE_Q4_1:
            return quantize_q4_1;
        case GGML_TYPE_Q5_1:
            return quantize_q5_1;
        case GGML_TYPE_Q5_0:
            return quantize_q5_0;
        case GGML_TYPE_Q8_0:
            return quantize_q8_0;
        case GGML_TYPE_IQ4_NL:
            return quantize_iq4_nl;
        case GGML_TYPE_Q2_K:
            return quantize_q2_k;
        case GGML_TYPE_Q4_K:
            return quantize_q4_k;
        case GGML_TYPE_Q5_K:
            return quantize_q5_k;
        case GGML_TYPE_Q3_K:
            return quantize_q3_k;
        case GGML_TYPE_Q6_K:
            return quantize_q6_k;
        case GGML_TYPE_IQ4_XS:
            return quantize_iq4_xs;
        case GGML_TYPE_IQ3_S:
            signed_grid(type);  // built before threads need it
            return quantize_iq3_s;
        case GGML_TYPE_IQ3_XXS:
            signed_grid(type);  // built before threads need it
            return quantize_iq3_xxs;
        case GGML_TYPE_IQ2_S:
            signed_grid(type);  // built before threads need it
            return quantize_iq2_s;
        default:
            return nullptr;
    }
}

}  // namespace plasticity
