#pragma once

#include <cstdint>

#include "quant/super_packing.h"

namespace plasticity {

/// The inverse of super_packing.h but for codes: multipliers, minima and both scales of a stored super-block, in the
/// form in which they are packed. What a format does not have stays as it was.

void unpack_q2_k(const std::uint8_t* block, SuperCodes& super);
void unpack_q3_k(const std::uint8_t* block, SuperCodes& super);
void unpack_q4_k(const std::uint8_t* block, SuperCodes& super);  ///< Q5_K begins with the same bytes
void unpack_q6_k(const std::uint8_t* block, SuperCodes& super);
void unpack_iq4_xs(const std::uint8_t* block, SuperCodes& super);

}  // namespace plasticity
