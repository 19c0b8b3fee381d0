#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "io/sandbox.h"

namespace plasticity {

struct ChildOptions {
    std::filesystem::path program;                   ///< a path, no name to be looked up (find_program does that)
    std::vector<std::string> arguments;              ///< without the program itself
    std::filesystem::path folder;                    ///< where it runs; empty: where this process does
    double deadline_seconds = 0;                     ///< then it is killed; 0: never
    std::size_t most_output = std::size_t{1} << 20;  ///< bytes kept of each stream; the rest is read and dropped
    std::optional<Sandbox> sandbox;                  ///< also: next to no environment
};

struct ChildResult {
    int exit_code = -1;  ///< -1: ended by a signal
    int signal = 0;      ///< 0: ended by itself
    bool timed_out = false;
    std::string out, err;

    bool succeeded() const { return exit_code == 0; }
    /// "exit code 3", "killed by SIGSEGV (11)", "stopped after 10 s"
    std::string ending() const;
};

/// Runs a program to its end. It is killed, with all that it started, when its time is over or this process is
/// interrupted, and dies with this process.
/// @throws Error (kIo when it cannot be started; kUsage when the sandbox cannot be made), Interrupted
ChildResult run_child(const ChildOptions& options);

/// Where PATH has a program. @returns an empty path where it has none
std::filesystem::path find_program(const std::string& name);

/// This program's own file. @throws Error (kIo) where the system does not tell
std::filesystem::path own_program();

}  // namespace plasticity
