#pragma once

#include <cstddef>

namespace plasticity {

/// What clients of `plasticity ipc` may ask for: everything that they can make grow is here.
struct IpcLimits {
    std::size_t request_bytes = 1 << 20;  ///< of a line
    int json_depth = 16;                  ///< levels of objects and arrays inside each other
    std::size_t id_bytes = 256;           ///< of a request's id, where that is text
    std::size_t connections = 32;
    std::size_t waiting = 64;              ///< requests of one connection without an answer yet
    std::size_t unread_notes = 256 << 10;  ///< bytes that a client has not taken: further progress is left out
    std::size_t unread_bytes = 128 << 20;  ///< … and where answers come to this much, it is hung up on
    std::size_t queued_jobs = 64;          ///< that wait or run
    std::size_t kept_jobs = 256;           ///< that are over; the oldest are forgotten
    std::size_t log_lines = 256;           ///< of a job; the oldest are dropped
    int attempts = 3;                      ///< of a job during which the server died
};

}  // namespace plasticity
