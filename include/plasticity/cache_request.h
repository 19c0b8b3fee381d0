#pragma once

#include <cstdint>
#include <optional>
#include <string>

namespace plasticity {

/// What a user says about the memory of a model that generates.
struct CacheRequest {
    std::int32_t context_length = 0;  ///< tokens; 0: as many as the work at hand wants
    std::string kv_type = "f16";      ///< of keys and values: f16 | q8_0 | q4_0
    /// Second copies of matrices, by which single tokens are multiplied faster. Nothing: where the machine has room.
    std::optional<bool> repack;
};

/// A context that conversations and servers take where nobody names one.
inline constexpr std::int32_t kUsualContext = 4096;

}  // namespace plasticity
