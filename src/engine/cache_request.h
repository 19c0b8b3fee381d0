#pragma once

#include <cstdint>

#include "engine/decoder.h"
#include "model/architecture.h"
#include "plasticity/cache_request.h"  // IWYU pragma: export

namespace plasticity {

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
