#pragma once

#ifdef HWY_DISABLED_TARGETS
#error "a header of Highway came first: quant/vector_targets.h belongs into the first block of includes"
#endif

/// What Highway compiles the searches for: baseline, SSE4, AVX2 and AVX-512, or baseline and NEON. SSSE3 is next to
/// SSE4; the scalable vectors of SVE and RISC-V have no size that arrays could hold, NEON serves there. To be included
/// before any header of Highway.
#define HWY_DISABLED_TARGETS (HWY_SSSE3 | HWY_SVE | HWY_SVE2 | HWY_SVE_256 | HWY_SVE2_128 | HWY_RVV)
