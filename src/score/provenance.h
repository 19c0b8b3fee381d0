#pragma once

#include <string>

#include "io/gguf_metadata.h"

namespace plasticity {

/// SHA-256 over keys and values of `tokenizer.*`, in key order: two models with the same hash cut text alike.
std::string tokenizer_sha256(const GgufMetadata& tokenizer);

}  // namespace plasticity
