#pragma once

#include <cstdint>
#include <filesystem>
#include <string>

namespace plasticity {

/// What a program from a stranger, such as one that a model wrote, is run in. It may read files and compute; write only
/// in one folder; start no process, signal none, open no connection. Linux alone has all of that without privileges
/// (Landlock, seccomp; from 6.2 on).
struct Sandbox {
    std::filesystem::path folder;  ///< the only place that can be written to
    std::uint64_t cpu_seconds = 10;
    std::uint64_t memory_bytes = std::uint64_t{1} << 30;  ///< of its address space
    std::uint64_t file_bytes = std::uint64_t{16} << 20;   ///< of each file that it writes
    std::uint64_t open_files = 64;
};

/// A sandbox that only remains to be entered: all that allocates is done.
class PreparedSandbox {
public:
    /// @throws Error (kUsage) where there is no such sandbox on this system
    explicit PreparedSandbox(const Sandbox& sandbox);
    ~PreparedSandbox();
    PreparedSandbox(const PreparedSandbox&) = delete;
    PreparedSandbox& operator=(const PreparedSandbox&) = delete;

    /// Called in a forked child before its exec; async-signal-safe.
    /// @returns nullptr, or the step that failed (a literal), errno saying why
    const char* enter() const;

private:
    Sandbox limits_;
    int ruleset_ = -1;  ///< Landlock's
};

/// Why no sandbox can be made on this system; empty where one can.
std::string sandbox_obstacle();

}  // namespace plasticity
