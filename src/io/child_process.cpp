#include "io/child_process.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <sstream>
#include <utility>

#include "core/clock.h"
#include "core/error.h"
#include "core/interrupt.h"

#ifdef __linux__
#include <sys/prctl.h>
#endif
#ifdef __APPLE__
#include <mach-o/dyld.h>
#endif

namespace plasticity {
namespace {

namespace fs = std::filesystem;

/// How often a child is looked after while it says nothing.
constexpr int kPollMs = 20;
constexpr int kNotStarted = 127;

[[noreturn]] void fail_to_start(const ChildOptions& options, const std::string& reason, ErrorKind kind) {
    throw Error(kind, fmt::format("{}: cannot be started: {}", options.program.string(), reason));
}

/// One direction between two processes; neither end outlives an exec.
class Pipe {
public:
    explicit Pipe(const ChildOptions& options) {
        if (pipe(ends_.data()) != 0) fail_to_start(options, system_reason(errno), ErrorKind::kIo);
        for (const int end : ends_) fcntl(end, F_SETFD, FD_CLOEXEC);
    }
    ~Pipe() {
        close_write();
        close(ends_[0]);
    }
    Pipe(const Pipe&) = delete;
    Pipe& operator=(const Pipe&) = delete;

    int read_end() const { return ends_[0]; }
    int write_end() const { return ends_[1]; }
    void close_write() {
        if (ends_[1] >= 0) close(std::exchange(ends_[1], -1));
    }

private:
    std::array<int, 2> ends_{-1, -1};
};

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

/// What exec wants, made before the fork: in a child of a process with threads nothing may be allocated.
struct ExecArguments {
    explicit ExecArguments(const ChildOptions& options) : words{options.program.string()} {
        words.insert(words.end(), options.arguments.begin(), options.arguments.end());
        for (std::string& word : words) argv.push_back(word.data());
        argv.push_back(nullptr);
        for (std::string& setting : settings) envp.push_back(setting.data());
        envp.push_back(nullptr);
    }
    std::vector<std::string> words;
    std::vector<std::string> settings{"PATH=/usr/local/bin:/usr/bin:/bin", "LANG=C.UTF-8"};
    std::vector<char*> argv, envp;
};

/// What the child tells its parent when it comes to no exec.
struct StartFailure {
    int error = 0;
    const char* step = nullptr;  ///< a literal: the parent has it at the same address; nullptr: the exec itself
};

/// In the child. Nothing here allocates. @param told  where a StartFailure goes
[[noreturn]] void become(const ChildOptions& options, ExecArguments& exec, const PreparedSandbox* sandbox,
                         const std::array<int, 3>& streams, int told) {
    StartFailure failure;
    setpgid(0, 0);
#ifdef __linux__
    prctl(PR_SET_PDEATHSIG, SIGKILL);
#endif
    for (int stream = 0; stream < 3; ++stream) dup2(streams[static_cast<std::size_t>(stream)], stream);
    signal(SIGINT, SIG_DFL);
    signal(SIGTERM, SIG_DFL);
    bool ready = options.folder.empty() || chdir(options.folder.c_str()) == 0;
    if (!ready) failure.step = "the folder cannot be entered";
    if (ready && sandbox != nullptr) {
        failure.step = sandbox->enter();
        ready = failure.step == nullptr;
    }
    if (ready) execve(exec.argv[0], exec.argv.data(), sandbox != nullptr ? exec.envp.data() : environ);
    failure.error = errno;
    [[maybe_unused]] const ssize_t n = write(told, &failure, sizeof failure);
    _exit(kNotStarted);
}

/// A child that runs. Destruction kills what is left of it and of all that it started.
class Running {
public:
    explicit Running(const ChildOptions& options) : options_(options), out_(options), err_(options), told_(options) {
        ExecArguments exec(options);
        std::optional<PreparedSandbox> sandbox;
        if (options.sandbox) sandbox.emplace(*options.sandbox);
        const int nothing = open("/dev/null", O_RDONLY | O_CLOEXEC);
        pid_ = fork();
        if (pid_ == 0)
            become(options, exec, sandbox ? &*sandbox : nullptr, {nothing, out_.write_end(), err_.write_end()},
                   told_.write_end());
        const int error = errno;
        close(nothing);
        if (pid_ < 0) fail_to_start(options, system_reason(error), ErrorKind::kIo);
        setpgid(pid_, pid_);
        for (Pipe* pipe : {&out_, &err_, &told_}) pipe->close_write();
        require_started();
        for (const Pipe* pipe : {&out_, &err_}) fcntl(pipe->read_end(), F_SETFL, O_NONBLOCK);
    }
    ~Running() {
        kill_all();
        if (!ended_) waitpid(pid_, nullptr, 0);
    }
    Running(const Running&) = delete;
    Running& operator=(const Running&) = delete;

    ChildResult wait() {
        ChildResult result;
        int status = 0;
        const auto start = Clock::now();
        while (!ended_) {
            throw_if_interrupted();
            read_streams(result, kPollMs);
            if (options_.deadline_seconds > 0 && seconds_since(start) > options_.deadline_seconds) {
                result.timed_out = true;
                kill_all();
            }
            ended_ = waitpid(pid_, &status, result.timed_out ? 0 : WNOHANG) == pid_;
        }
        read_streams(result, 0);
        if (WIFEXITED(status)) result.exit_code = WEXITSTATUS(status);
        if (WIFSIGNALED(status)) result.signal = WTERMSIG(status);
        return result;
    }

private:
    void require_started() {
        StartFailure failure;
        ssize_t n = 0;
        do n = read(told_.read_end(), &failure, sizeof failure);
        while (n < 0 && errno == EINTR);
        if (n != sizeof failure) return;  // the exec closed it
        waitpid(pid_, nullptr, 0);
        ended_ = true;
        const ErrorKind kind = failure.step != nullptr ? ErrorKind::kUsage : ErrorKind::kIo;
        const std::string step = failure.step != nullptr ? std::string(failure.step) + ": " : "";
        fail_to_start(options_, step + system_reason(failure.error), kind);
    }

    void read_streams(ChildResult& result, int wait_ms) {
        std::array<pollfd, 2> watched{pollfd{out_open_ ? out_.read_end() : -1, POLLIN, 0},
                                      pollfd{err_open_ ? err_.read_end() : -1, POLLIN, 0}};
        poll(watched.data(), watched.size(), wait_ms);
        if (out_open_) out_open_ = drain(out_.read_end(), result.out, options_.most_output);
        if (err_open_) err_open_ = drain(err_.read_end(), result.err, options_.most_output);
    }

    void kill_all() const {
        if (pid_ > 0) kill(-pid_, SIGKILL);
    }

    const ChildOptions& options_;
    Pipe out_, err_, told_;
    bool out_open_ = true, err_open_ = true;
    bool ended_ = false;
    pid_t pid_ = -1;
};

}  // namespace

std::string ChildResult::ending() const {
    if (timed_out) return "stopped when its time was over";
    if (signal != 0) return fmt::format("killed by signal {} ({})", signal, strsignal(signal));
    return fmt::format("exit code {}", exit_code);
}

ChildResult run_child(const ChildOptions& options) {
    return Running(options).wait();
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
