#include "io/child_process.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <sstream>

#include "core/clock.h"
#include "core/error.h"
#include "core/interrupt.h"

#ifdef __APPLE__
#include <mach-o/dyld.h>
#endif

namespace plasticity {
namespace {

namespace fs = std::filesystem;

/// How often a child is looked after while it says nothing.
constexpr int kPollMs = 20;

/// Appends what a pipe holds. @returns false at its end
bool drain(int descriptor, std::string& kept, std::size_t most) {
    std::array<char, 1 << 16> buffer;
    while (true) {
        const ssize_t n = read(descriptor, buffer.data(), buffer.size());
        if (n > 0) {
            const std::size_t room = most - std::min(most, kept.size());
            kept.append(buffer.data(), std::min(room, static_cast<std::size_t>(n)));
            continue;
        }
        if (n < 0 && errno == EINTR) continue;
        return n < 0 && errno == EAGAIN;
    }
}

/// A child within limits. Destruction kills what is left of it and of all that it started.
class Running {
public:
    Running(const ChildCommand& command, const ChildLimits& limits) : limits_(limits), child_(command) {
        for (const int stream : {child_.out(), child_.err()}) fcntl(stream, F_SETFL, O_NONBLOCK);
    }
    ~Running() { child_.send(SIGKILL); }
    Running(const Running&) = delete;
    Running& operator=(const Running&) = delete;

    ChildResult wait() {
        ChildResult result;
        const auto start = Clock::now();
        std::optional<int> status;
        while (!status) {
            throw_if_interrupted();
            read_streams(result, kPollMs);
            if (limits_.deadline_seconds > 0 && seconds_since(start) > limits_.deadline_seconds) {
                result.timed_out = true;
                child_.send(SIGKILL);
            }
            status = result.timed_out ? child_.wait() : child_.status();
        }
        read_streams(result, 0);
        if (WIFEXITED(*status)) result.exit_code = WEXITSTATUS(*status);
        if (WIFSIGNALED(*status)) result.signal = WTERMSIG(*status);
        return result;
    }

private:
    void read_streams(ChildResult& result, int wait_ms) {
        std::array<pollfd, 2> watched{pollfd{out_open_ ? child_.out() : -1, POLLIN, 0},
                                      pollfd{err_open_ ? child_.err() : -1, POLLIN, 0}};
        poll(watched.data(), watched.size(), wait_ms);
        if (out_open_) out_open_ = drain(child_.out(), result.out, limits_.most_output);
        if (err_open_) err_open_ = drain(child_.err(), result.err, limits_.most_output);
    }

    const ChildLimits& limits_;
    StartedChild child_;
    bool out_open_ = true, err_open_ = true;
};

}  // namespace

std::string ChildResult::ending() const {
    if (timed_out) return "stopped when its time was over";
    if (signal != 0) return fmt::format("killed by signal {} ({})", signal, strsignal(signal));
    return fmt::format("exit code {}", exit_code);
}

ChildResult run_child(const ChildCommand& command, const ChildLimits& limits) {
    return Running(command, limits).wait();
}

fs::path find_program(const std::string& name) {
    const char* all = std::getenv("PATH");
    std::istringstream folders(all != nullptr ? all : "");
    for (std::string folder; std::getline(folders, folder, ':');) {
        const fs::path path = fs::path(folder.empty() ? "." : folder) / name;
        if (access(path.c_str(), X_OK) == 0 && fs::is_regular_file(path)) return fs::absolute(path);
    }
    return {};
}

fs::path own_program() {
#ifdef __APPLE__
    std::array<char, 4096> path{};
    std::uint32_t size = path.size();
    if (_NSGetExecutablePath(path.data(), &size) == 0) return path.data();
#else
    std::error_code failure;
    const fs::path path = "/proc/self/exe";
    if (fs::exists(path, failure)) return path;  // as a link: it also works where the file was replaced meanwhile
#endif
    throw Error(ErrorKind::kIo, "plasticity: the system does not tell where this program's own file is");
}

}  // namespace plasticity
