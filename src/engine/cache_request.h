#pragma once

#include <cstdint>
#include <string>

#include "engine/decoder.h"
#include "model/architecture.h"

namespace plasticity {

/// What a user says about the KV cache.
struct CacheRequest {
    std::int32_t context_length = 0;  ///< tokens; 0: as many as the work at hand wants
    std::string kv_type = "f16";      ///< f16 | q8_0 | q4_0
};

/// @param wanted  tokens that the work at hand wants, where the user named none; cut to what the model was made for
/// @throws Error (kUsage for an unknown type, and for a context longer than the model was made for)
DecoderOptions decoder_options(const Architecture& architecture, const CacheRequest& request, std::int64_t wanted,
                               int threads);

}  // namespace plasticity
