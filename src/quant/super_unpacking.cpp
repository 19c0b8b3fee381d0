#include "quant/super_unpacking.h"

namespace plasticity {

void unpack_q2_k(const std::uint8_t* block, SuperCodes& super) {
    for (std::size_t g = 0; g < 16; ++g) {
        super.multipliers[g] = block[g] & 15;
        super.minima[g] = block[g] >> 4;
    }
    std::memcpy(&super.scale, block + 80, sizeof super.scale);
    std::memcpy(&super.minimum_scale, block + 82, sizeof super.minimum_scale);
}

void unpack_q3_k(const std::uint8_t* block, SuperCodes& super) {
    const std::uint8_t* multipliers = block + 96;
    for (std::size_t j = 0; j < 16; ++j) {
        const unsigned low = multipliers[j % 8] >> 4 * (j / 8) & 15u;
        const unsigned high = multipliers[8 + j % 4] >> 2 * (j / 4) & 3u;
        super.multipliers[j] = static_cast<std::uint8_t>(low | high << 4);
    }
    std::memcpy(&super.scale, block + 108, sizeof super.scale);
}

void unpack_q4_k(const std::uint8_t* block, SuperCodes& super) {
    std::memcpy(&super.scale, block, sizeof super.scale);
    std::memcpy(&super.minimum_scale, block + 2, sizeof super.minimum_scale);
    for (std::size_t j = 0; j < 4; ++j) {
        super.multipliers[j] = block[4 + j] & 63;
        super.minima[j] = block[8 + j] & 63;
        super.multipliers[j + 4] = static_cast<std::uint8_t>((block[12 + j] & 15) | block[4 + j] >> 6 << 4);
        super.minima[j + 4] = static_cast<std::uint8_t>(block[12 + j] >> 4 | block[8 + j] >> 6 << 4);
    }
}

void unpack_q6_k(const std::uint8_t* block, SuperCodes& super) {
    std::memcpy(super.multipliers, block + 192, 16);
    std::memcpy(&super.scale, block + 208, sizeof super.scale);
}

void unpack_iq4_xs(const std::uint8_t* block, SuperCodes& super) {
    std::memcpy(&super.scale, block, sizeof super.scale);
    for (std::size_t g = 0; g < 8; ++g) {
        const unsigned low = block[4 + g / 2] >> 4 * (g % 2) & 15u;
        const unsigned high = block[2 + g / 4] >> 2 * (g % 4) & 3u;
        super.multipliers[g] = static_cast<std::uint8_t>(low | high << 4);
    }
}

}  // namespace plasticity
