#include "quant/point_blocks.h"

namespace plasticity {
namespace {

/// Four bits a multiplier, two to a byte.
template <std::size_t Groups, std::size_t FirstByte>
void read_scales(const std::uint8_t* block, GridCodes& codes) {
    std::memcpy(&codes.scale, block, sizeof codes.scale);
    for (std::size_t g = 0; g < Groups; ++g) codes.multipliers[g] = block[FirstByte + g / 2] >> 4 * (g % 2) & 15;
}

}  // namespace

const PointFormat* point_format(ggml_type type) {
    if (type == GGML_TYPE_IQ3_S) {
        static const PointFormat iq3_s{32, &signed_grid(type), read_scales<8, 106>, pack_iq3_s};
        return &iq3_s;
    }
    if (type == GGML_TYPE_IQ2_S) {
        static const PointFormat iq2_s{16, &signed_grid(type), read_scales<16, 74>, pack_iq2_s};
        return &iq2_s;
    }
    return nullptr;
}

}  // namespace plasticity
