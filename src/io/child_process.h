#pragma once

#include <cstddef>
#include <filesystem>
#include <string>

#include "io/started_child.h"

namespace plasticity {

struct ChildLimits {
    double deadline_seconds = 0;                     ///< then it is killed; 0: never
    std::size_t most_output = std::size_t{1} << 20;  ///< bytes kept of each stream; the rest is read and dropped
};

struct ChildResult {
    int exit_code = -1;  ///< -1: ended by a signal
    int signal = 0;      ///< 0: ended by itself
    bool timed_out = false;
    std::string out, err;

    bool succeeded() const { return exit_code == 0; }
    /// "exit code 3", "killed by signal 11 (Segmentation fault)", "stopped when its time was over"
    std::string ending() const;
};

/// Runs a program to its end. It is killed, with all that it started, when its time is over or this process is
/// interrupted, and dies with this process.
/// @throws Error as StartedChild, Interrupted
ChildResult run_child(const ChildCommand& command, const ChildLimits& limits = {});

/// Where PATH has a program. @returns an empty path where it has none
std::filesystem::path find_program(const std::string& name);

/// This program's own file. @throws Error (kIo) where the system does not tell
std::filesystem::path own_program();

}  // namespace plasticity
