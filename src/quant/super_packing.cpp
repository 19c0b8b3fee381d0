#include "quant/super_packing.h"

namespace plasticity {
namespace {

std::uint8_t byte(unsigned value) {
    return static_cast<std::uint8_t>(value);
}

/// 64 bytes; each half of 128 weights fills 32 of them: byte l holds bits 0–1 of weights l, l + 32, l + 64, l + 96.
void pack_low_two_bits(const std::uint8_t* codes, std::uint8_t* out) {
    for (std::size_t half = 0; half < 2; ++half)
        for (std::size_t l = 0; l < 32; ++l) {
            const std::uint8_t* code = codes + 128 * half + l;
            out[32 * half + l] =
                byte((code[0] & 3u) | (code[32] & 3u) << 2 | (code[64] & 3u) << 4 | (code[96] & 3u) << 6);
        }
}

/// 128 bytes; each quarter of 64 weights fills 32 of them: byte l holds bits 0–3 of weights l and l + 32.
void pack_low_four_bits(const std::uint8_t* codes, std::uint8_t* out) {
    for (std::size_t quarter = 0; quarter < 4; ++quarter)
        for (std::size_t l = 0; l < 32; ++l) {
            const std::uint8_t* code = codes + 64 * quarter + l;
            out[32 * quarter + l] = byte((code[0] & 15u) | (code[32] & 15u) << 4);
        }
}

/// | F16 scale | F16 scale of minima | 12 bytes: six bits for each of eight multipliers and minima |
/// Bytes j and 4 + j hold multiplier and minimum j < 4, and above them bits 4–5 of numbers j + 4; byte 8 + j holds bits
/// 0–3 of these.
void pack_scales_and_minima(const SuperCodes& super, std::uint8_t* out) {
    std::memcpy(out, &super.scale, sizeof super.scale);
    std::memcpy(out + 2, &super.minimum_scale, sizeof super.minimum_scale);
    for (std::size_t j = 0; j < 4; ++j) {
        const unsigned scale = super.multipliers[j + 4], minimum = super.minima[j + 4];
        out[4 + j] = byte(super.multipliers[j] | scale >> 4 << 6);
        out[8 + j] = byte(super.minima[j] | minimum >> 4 << 6);
        out[12 + j] = byte((scale & 15u) | (minimum & 15u) << 4);
    }
}

}  // namespace

/// | 16 bytes: multiplier low half, minimum high half | 64 bytes: bits 0–1 | F16 scale | F16 scale of minima |
void pack_q2_k(const SuperCodes& super, std::uint8_t* out) {
    for (std::size_t g = 0; g < 16; ++g) out[g] = byte(super.multipliers[g] | super.minima[g] << 4);
    pack_low_two_bits(super.codes, out + 16);
    std::memcpy(out + 80, &super.scale, sizeof super.scale);
    std::memcpy(out + 82, &super.minimum_scale, sizeof super.minimum_scale);
}

/// | 16 bytes: scales and minima | 128 bytes: bits 0–3 |
void pack_q4_k(const SuperCodes& super, std::uint8_t* out) {
    pack_scales_and_minima(super, out);
    pack_low_four_bits(super.codes, out + 16);
}

/// | 16 bytes: scales and minima | 32 bytes: bit g of byte l is bit 4 of weight 32 g + l | 128 bytes: bits 0–3 |
void pack_q5_k(const SuperCodes& super, std::uint8_t* out) {
    pack_scales_and_minima(super, out);
    for (std::size_t l = 0; l < 32; ++l) {
        unsigned bits = 0;
        for (std::size_t g = 0; g < 8; ++g) bits |= (super.codes[32 * g + l] >> 4 & 1u) << g;
        out[16 + l] = byte(bits);
    }
    pack_low_four_bits(super.codes, out + 48);
}

/// | 32 bytes: bit k of byte l is bit 2 of weight 32 k + l | 64 bytes: bits 0–1 | 12 bytes: multipliers | F16 scale |
/// Multipliers have six bits: byte j holds bits 0–3 of numbers j and j + 8; byte 8 + j % 4 holds bits 4–5 of number j
/// at bit 2 (j / 4).
void pack_q3_k(const SuperCodes& super, std::uint8_t* out) {
    for (std::size_t l = 0; l < 32; ++l) {
        unsigned bits = 0;
        for (std::size_t k = 0; k < 8; ++k) bits |= (super.codes[32 * k + l] >> 2 & 1u) << k;
        out[l] = byte(bits);
    }
    pack_low_two_bits(super.codes, out + 32);
    std::uint8_t* multipliers = out + 96;
    std::memset(multipliers, 0, 12);
    for (std::size_t j = 0; j < 16; ++j) {
        const unsigned value = super.multipliers[j];
        multipliers[j % 8] = byte(multipliers[j % 8] | (value & 15u) << 4 * (j / 8));
        multipliers[8 + j % 4] = byte(multipliers[8 + j % 4] | value >> 4 << 2 * (j / 4));
    }
    std::memcpy(out + 108, &super.scale, sizeof super.scale);
}

/// | 128 bytes: bits 0–3 | 64 bytes: bits 4–5 | 16 signed bytes: multipliers | F16 scale |
/// Each half of 128 weights fills 64 and 32 bytes: byte l < 64 holds weights l and l + 64; byte l of the second field
/// holds weights l, l + 32, l + 64, l + 96.
void pack_q6_k(const SuperCodes& super, std::uint8_t* out) {
    for (std::size_t half = 0; half < 2; ++half) {
        const std::uint8_t* codes = super.codes + 128 * half;
        for (std::size_t l = 0; l < 64; ++l) out[64 * half + l] = byte((codes[l] & 15u) | (codes[l + 64] & 15u) << 4);
        for (std::size_t l = 0; l < 32; ++l)
            out[128 + 32 * half + l] =
                byte(codes[l] >> 4 | codes[l + 32] >> 4 << 2 | codes[l + 64] >> 4 << 4 | codes[l + 96] >> 4 << 6);
    }
    std::memcpy(out + 192, super.multipliers, 16);
    std::memcpy(out + 208, &super.scale, sizeof super.scale);
}

/// | F16 scale | 2 bytes: bits 4–5 of multiplier g at bit 2 g | 4 bytes: bits 0–3, two to a byte | 8 × 16 bytes: as
/// IQ4_NL |
void pack_iq4_xs(const SuperCodes& super, std::uint8_t* out) {
    std::memcpy(out, &super.scale, sizeof super.scale);
    unsigned high = 0;
    for (std::size_t g = 0; g < 8; ++g) high |= static_cast<unsigned>(super.multipliers[g] >> 4) << 2 * g;
    out[2] = byte(high & 255u);
    out[3] = byte(high >> 8);
    for (std::size_t pair = 0; pair < 4; ++pair)
        out[4 + pair] = byte((super.multipliers[2 * pair] & 15u) | (super.multipliers[2 * pair + 1] & 15u) << 4);
    for (std::size_t g = 0; g < 8; ++g)
        for (std::size_t j = 0; j < 16; ++j)
            out[8 + 16 * g + j] = byte(super.codes[32 * g + j] | super.codes[32 * g + j + 16] << 4);
}

}  // namespace plasticity
