#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>

#include "plasticity/backend_choice.h"
#include "plasticity/cache_request.h"
#include "plasticity/export.h"

namespace plasticity {

class Progress;

struct ServeOptions {
    std::filesystem::path model;
    std::string host = "127.0.0.1";
    int port = 8080;            ///< 0: any that is free
    std::string api_key;        ///< empty: none; only for loopback addresses
    std::string alias;          ///< what clients call the model; empty: its file's name
    std::int32_t slots = 4;     ///< texts in work at once, each with a context of its own
    std::int32_t queued = 256;  ///< texts that may wait for a slot
    std::int32_t connections = 128;
    std::uint64_t body_bytes = 2 << 20;
    bool reuse_prompts = true;  ///< a prompt that begins as a slot's last text is not fed from the start
    CacheRequest cache;         ///< of each slot. Context 0: 4096, or what the model was made for where that is less
    int threads = 0;
    BackendChoice backend;
    std::optional<std::filesystem::path> lora;  ///< GGUF adapter that was trained on the model or on its base
};

/// SERVE: the model over HTTP as OpenAI's API, until SIGINT or SIGTERM. @param on_ready  given the URL once it listens
/// @throws Interrupted when told to end; Error (kMissing, kMalformed, kUsage, kIo)
PLASTICITY_API void serve(const ServeOptions& options, const std::function<void(const std::string&)>& on_ready,
                          Progress& progress);

}  // namespace plasticity
