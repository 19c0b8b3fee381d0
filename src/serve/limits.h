#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>

namespace plasticity {

/// What a client may ask for, and how long it may take to do so. Everything that a stranger can make grow is here.
struct ServeLimits {
    std::size_t body_bytes = 2 << 20;
    std::size_t header_bytes = 16 << 10;  ///< request line and all headers
    std::size_t connections = 128;        ///< open at once
    std::size_t queued = 256;             ///< texts that wait for a slot
    std::size_t prompts = 128;            ///< texts of one request: prompts times n
    std::int32_t choices = 16;            ///< n
    std::int32_t top_probabilities = 20;  ///< logprobs, top_logprobs
    std::size_t messages = 1024;          ///< of a conversation
    std::size_t stop_strings = 16;
    std::size_t stop_bytes = 256;  ///< of each
    int json_depth = 8;
    std::chrono::milliseconds header_time{10'000};  ///< from a request's first byte to the end of its headers
    std::chrono::milliseconds body_time{30'000};    ///< from there to the end of its body
    std::chrono::milliseconds write_time{30'000};   ///< a client that takes nothing for so long has left
    std::chrono::milliseconds idle_time{5'000};     ///< between two requests of a connection
};

}  // namespace plasticity
