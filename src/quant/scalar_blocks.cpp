#include "quant/scalar_blocks.h"

#include <cstring>

#include "quant/flat_packing.h"
#include "quant/super_packing.h"
#include "quant/super_unpacking.h"

namespace plasticity {
namespace {

const std::uint8_t* bytes_of(const std::byte* block) {
    return reinterpret_cast<const std::uint8_t*>(block);
}
std::uint8_t* bytes_of(std::byte* block) {
    return reinterpret_cast<std::uint8_t*>(block);
}

float half_at(const std::byte* at) {
    ggml_fp16_t bits = 0;
    std::memcpy(&bits, at, sizeof bits);
    return ggml_fp16_to_fp32(bits);
}

/// Flat blocks begin with the scale and, where `HasMinimum`, the value of level 0.
template <bool HasMinimum>
void read_flat_scales(const std::byte* block, GroupScales& scales) {
    scales.scale[0] = half_at(block);
    scales.offset[0] = HasMinimum ? -half_at(block + sizeof(ggml_fp16_t)) : 0.0f;
}

template <void (*Pack)(LaneCodes, std::uint8_t*), std::size_t HeadBytes>
void write_flat_codes(const std::uint8_t* codes, std::byte* block) {
    Pack({codes, 1}, bytes_of(block) + HeadBytes);
}

using Unpack = void (*)(const std::uint8_t*, SuperCodes&);
using Pack = void (*)(const SuperCodes&, std::uint8_t*);

/// Multipliers as stored, counted from `Zero`.
template <Unpack Open, std::size_t Groups, int Zero>
void read_plain_scales(const std::byte* block, GroupScales& scales) {
    SuperCodes super;
    Open(bytes_of(block), super);
    const float common = ggml_fp16_to_fp32(super.scale);
    for (std::size_t g = 0; g < Groups; ++g) {
        scales.scale[g] = common * static_cast<float>(super.multipliers[g] - Zero);
        scales.offset[g] = 0;
    }
}

/// Q6_K: multipliers are signed bytes.
void read_signed_scales(const std::byte* block, GroupScales& scales) {
    SuperCodes super;
    unpack_q6_k(bytes_of(block), super);
    const float common = ggml_fp16_to_fp32(super.scale);
    for (std::size_t g = 0; g < 16; ++g) {
        scales.scale[g] = common * static_cast<float>(static_cast<std::int8_t>(super.multipliers[g]));
        scales.offset[g] = 0;
    }
}

template <Unpack Open, std::size_t Groups>
void read_affine_scales(const std::byte* block, GroupScales& scales) {
    SuperCodes super;
    Open(bytes_of(block), super);
    const float scale = ggml_fp16_to_fp32(super.scale), minimum = ggml_fp16_to_fp32(super.minimum_scale);
    for (std::size_t g = 0; g < Groups; ++g) {
        scales.scale[g] = scale * static_cast<float>(super.multipliers[g]);
        scales.offset[g] = minimum * static_cast<float>(super.minima[g]);
    }
}

template <Unpack Open, Pack Close>
void write_super_codes(const std::uint8_t* codes, std::byte* block) {
    SuperCodes super;
    Open(bytes_of(block), super);
    std::memcpy(super.codes, codes, sizeof super.codes);
    Close(super, bytes_of(block));
}

constexpr std::size_t kHalf = sizeof(ggml_fp16_t);

}  // namespace

const ScalarFormat* scalar_format(ggml_type type) {
    static const ScalarFormat q4_0{
        32, 32, -8, 7, nullptr, read_flat_scales<false>, write_flat_codes<pack_nibbles, kHalf>};
    static const ScalarFormat q4_1{
        32, 32, 0, 15, nullptr, read_flat_scales<true>, write_flat_codes<pack_nibbles, 2 * kHalf>};
    static const ScalarFormat q5_0{
        32, 32, -16, 15, nullptr, read_flat_scales<false>, write_flat_codes<pack_nibbles_and_fifth_bits, kHalf>};
    static const ScalarFormat q5_1{
        32, 32, 0, 31, nullptr, read_flat_scales<true>, write_flat_codes<pack_nibbles_and_fifth_bits, 2 * kHalf>};
    static const ScalarFormat q8_0{
        32, 32, -127, 127, nullptr, read_flat_scales<false>, write_flat_codes<pack_bytes, kHalf>};
    static const ScalarFormat iq4_nl{
        32, 32, 0, 15, &iq4_codebook(), read_flat_scales<false>, write_flat_codes<pack_nibbles, kHalf>};
    static const ScalarFormat q2_k{
        256, 16, 0, 3, nullptr, read_affine_scales<unpack_q2_k, 16>, write_super_codes<unpack_q2_k, pack_q2_k>};
    static const ScalarFormat q3_k{
        256, 16, -4, 3, nullptr, read_plain_scales<unpack_q3_k, 16, 32>, write_super_codes<unpack_q3_k, pack_q3_k>};
    static const ScalarFormat q4_k{
        256, 32, 0, 15, nullptr, read_affine_scales<unpack_q4_k, 8>, write_super_codes<unpack_q4_k, pack_q4_k>};
    static const ScalarFormat q5_k{
        256, 32, 0, 31, nullptr, read_affine_scales<unpack_q4_k, 8>, write_super_codes<unpack_q4_k, pack_q5_k>};
    static const ScalarFormat q6_k{
        256, 16, -32, 31, nullptr, read_signed_scales, write_super_codes<unpack_q6_k, pack_q6_k>};
    static const ScalarFormat iq4_xs{256,
                                     32,
                                     0,
                                     15,
                                     &iq4_codebook(),
                                     read_plain_scales<unpack_iq4_xs, 8, 32>,
                                     write_super_codes<unpack_iq4_xs, pack_iq4_xs>};
    switch (type) {
        case GGML_TYPE_Q4_0:
            return &q4_0;
        case GGML_TYPE_Q4_1:
            return &q4_1;
        case GGML_TYPE_Q5_0:
            return &q5_0;
        case GGML_TYPE_Q5_1:
            return &q5_1;
        case GGML_TYPE_Q8_0:
            return &q8_0;
        case GGML_TYPE_IQ4_NL:
            return &iq4_nl;
        case GGML_TYPE_Q2_K:
            return &q2_k;
        case GGML_TYPE_Q3_K:
            return &q3_k;
        case GGML_TYPE_Q4_K:
            return &q4_k;
        case GGML_TYPE_Q5_K:
            return &q5_k;
        case GGML_TYPE_Q6_K:
            return &q6_k;
        case GGML_TYPE_IQ4_XS:
            return &iq4_xs;
        default:
            return nullptr;
    }
}

}  // namespace plasticity
