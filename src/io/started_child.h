#pragma once

#include <sys/types.h>

#include <array>
#include <csignal>
#include <filesystem>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "io/sandbox.h"

namespace plasticity {

/// A program to be run as it is, without a shell, its stdin empty.
struct ChildCommand {
    std::filesystem::path program;                                 ///< a path, no name to be looked up
    std::vector<std::string> arguments;                            ///< without the program itself
    std::filesystem::path folder;                                  ///< to run in; empty: where this process does
    std::vector<std::pair<std::string, std::string>> environment;  ///< beside this process's own
    std::optional<Sandbox> sandbox;                                ///< then also: next to no environment
    int death_signal = SIGKILL;                                    ///< that it gets when this process dies (Linux)
};

/// One direction between two processes; neither end outlives an exec.
class Pipe {
public:
    /// @throws Error (kIo)
    Pipe();
    ~Pipe();
    Pipe(const Pipe&) = delete;
    Pipe& operator=(const Pipe&) = delete;

    int read_end() const { return ends_[0]; }
    int write_end() const { return ends_[1]; }
    void close_write();

private:
    std::array<int, 2> ends_{-1, -1};
};

/// A child that runs, in a process group of its own. Destruction kills it, with all that it started, unless it has
/// ended.
class StartedChild {
public:
    /// @throws Error (kIo when it cannot be started; kUsage when its folder cannot be entered or the sandbox not be
    /// made)
    explicit StartedChild(const ChildCommand& command);
    ~StartedChild();
    StartedChild(const StartedChild&) = delete;
    StartedChild& operator=(const StartedChild&) = delete;

    int out() const { return out_.read_end(); }  ///< what it writes to stdout
    int err() const { return err_.read_end(); }

    /// To it and all that it started, also after its own end.
    void send(int signal) const;
    /// @returns its status, as waitpid tells it; nothing while it runs
    std::optional<int> status();
    /// The same, once it has ended.
    int wait();

private:
    void require_started(const ChildCommand& command);

    Pipe out_, err_, told_;
    pid_t pid_ = -1;
    std::optional<int> status_;
};

}  // namespace plasticity
