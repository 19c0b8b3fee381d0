#pragma once

#include <array>
#include <string_view>

namespace plasticity {

/// What the 256 codes of an 8-bit floating point format stand for, by code.
using Float8Values = std::array<float, 256>;

/// F8_E4M3, F8_E5M2 or F8_E8M0, as safetensors calls them; every value is exact in F32.
///
///              sign  exponent  mantissa   largest   codes that are no numbers
///     F8_E4M3    1    4, − 7      3           448   0x7F and 0xFF (NaN); there is no infinity
///     F8_E5M2    1    5, −15      2        57,344   exponent 31: ±infinity, NaN
///     F8_E8M0    –    8, −127     –         2^127   0xFF (NaN); for scales
///
/// Sources: Micikevicius et al. 2022, "FP8 Formats for Deep Learning", table 1 (E4M3, E5M2); OCP Microscaling Formats
/// (MX) Specification 1.0, section 5.4.1 (E8M0).
/// @returns nullptr for other dtypes
const Float8Values* float8_values(std::string_view dtype);

}  // namespace plasticity
