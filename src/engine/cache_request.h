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

/// A context that conversations and servers take where nobody names one.
inline constexpr std::int32_t kUsualContext = 4096;

/// What a model runs on.
struct RunOn {
    BackendChoice backend;
    int threads = 0;  ///< 0: all processors
};

/// @param wanted  tokens that the work at hand wants, where the user named none; cut to what the model was made for
/// @throws Error (kUsage for an unknown type, and for a context longer than the model was made for)
DecoderOptions decoder_options(const Architecture& architecture, const CacheRequest& request, std::int64_t wanted,
                               const RunOn& on);

}  // namespace plasticity
