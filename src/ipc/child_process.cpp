#include "ipc/child_process.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <optional>

#ifdef __linux__
#include <sys/prctl.h>
#endif

#include "core/clock.h"
#include "core/error.h"

extern "C" char** environ;

namespace plasticity {
namespace {

constexpr std::size_t kMaxOutBytes = std::size_t{64} << 20;  // the largest recipe
constexpr std::size_t kMaxLineBytes = 16 << 10;
constexpr int kWakeUpMs = 100;
constexpr std::chrono::seconds kTimeToEnd{30};
constexpr int kCannotStart = 127;

/// Closes itself.
struct Descriptor {
    int number = -1;
    Descriptor() = default;
    Descriptor(const Descriptor&) = delete;
    Descriptor& operator=(const Descriptor&) = delete;
    ~Descriptor() { close(); }
    void close() {
        if (number >= 0) ::close(number);
        number = -1;
    }
};

struct Pipe {
    Descriptor read, write;
    Pipe() {
        std::array<int, 2> ends{};
        if (::pipe(ends.data()) != 0)
            throw Error(ErrorKind::kIo, fmt::format("cannot make a pipe: {}", system_reason(errno)));
        read.number = ends[0];
        write.number = ends[1];
        for (const int end : ends) ::fcntl(end, F_SETFD, FD_CLOEXEC);
    }
};

/// Pointers to texts, as exec takes them.
std::vector<char*> pointers_to(std::vector<std::string>& texts) {
    std::vector<char*> pointers;
    for (std::string& text : texts) pointers.push_back(text.data());
    pointers.push_back(nullptr);
    return pointers;
}

/// After fork, in a program that may have threads: nothing here takes memory or a lock.
struct Launch {
    const char* program;
    const char* folder;  ///< nullptr: stay
    char** arguments;
    char** environment;
    int out, err;
    pid_t parent;

    [[noreturn]] void run() const {
        ::setpgid(0, 0);
#ifdef __linux__
        ::prctl(PR_SET_PDEATHSIG, SIGTERM);
        if (::getppid() != parent) ::_exit(kCannotStart);  // it died before that took hold
#endif
        for (const int signal : {SIGINT, SIGTERM, SIGPIPE}) ::signal(signal, SIG_DFL);
        const int nothing = ::open("/dev/null", O_RDONLY);
        ::dup2(nothing, STDIN_FILENO);
        ::dup2(out, STDOUT_FILENO);
        ::dup2(err, STDERR_FILENO);
        if (folder == nullptr || ::chdir(folder) == 0) ::execve(program, arguments, environment);
        const char* reason = ::strerror(errno);
        static_cast<void>(!::write(STDERR_FILENO, "plasticity: cannot start this program: ", 39));
        static_cast<void>(!::write(STDERR_FILENO, reason, ::strlen(reason)));
        ::_exit(kCannotStart);
    }
};

/// Cuts a stream into lines.
class LineCutter {
public:
    explicit LineCutter(const std::function<void(std::string_view)>& on_line) : on_line_(on_line) {}

    void add(std::string_view bytes) {
        for (const char byte : bytes) {
            if (byte == '\n') {
                finish();
            } else if (line_.size() < kMaxLineBytes) {
                line_.push_back(byte);
            }
        }
    }
    void finish() {
        if (!line_.empty()) on_line_(line_);
        line_.clear();
    }

private:
    const std::function<void(std::string_view)>& on_line_;
    std::string line_;
};

/// A child that has been started, until it was waited for.
class Child {
public:
    Child(const ChildCommand& command, int out, int err) {
        std::vector<std::string> arguments{command.program.filename().string()};
        arguments.insert(arguments.end(), command.arguments.begin(), command.arguments.end());
        std::vector<std::string> environment;
        for (char** entry = environ; *entry != nullptr; ++entry) environment.emplace_back(*entry);
        for (const auto& [name, value] : command.environment) environment.push_back(fmt::format("{}={}", name, value));
        std::vector<char*> argv = pointers_to(arguments), envp = pointers_to(environment);
        const Launch launch{.program = command.program.c_str(),
                            .folder = command.folder.empty() ? nullptr : command.folder.c_str(),
                            .arguments = argv.data(),
                            .environment = envp.data(),
                            .out = out,
                            .err = err,
                            .parent = ::getpid()};
        pid_ = ::fork();
        if (pid_ == 0) launch.run();
        if (pid_ < 0) throw Error(ErrorKind::kIo, fmt::format("cannot start a process: {}", system_reason(errno)));
        ::setpgid(pid_, pid_);  // both do it: neither knows who comes first
    }
    Child(const Child&) = delete;
    Child& operator=(const Child&) = delete;
    ~Child() {
        if (pid_ <= 0) return;
        send(SIGKILL);
        wait();
    }

    void send(int signal) const { ::kill(-pid_, signal); }

    ChildEnd wait() {
        int status = 0;
        while (::waitpid(pid_, &status, 0) < 0 && errno == EINTR) {
        }
        pid_ = -1;
        if (WIFSIGNALED(status)) return {.exit_code = 128 + WTERMSIG(status), .signal = WTERMSIG(status), .out = {}};
        return {.exit_code = WEXITSTATUS(status), .signal = 0, .out = {}};
    }

private:
    pid_t pid_ = -1;
};

/// @returns false at the stream's end
template <typename Take>
bool drain(const pollfd& ready, const Take& take) {
    if (ready.revents == 0) return true;
    std::array<char, 16 << 10> block{};
    const ssize_t n = ::read(ready.fd, block.data(), block.size());
    if (n < 0) return errno == EINTR || errno == EAGAIN;
    take(std::string_view(block.data(), static_cast<std::size_t>(n)));
    return n > 0;
}

}  // namespace

ChildEnd run_child(const ChildCommand& command, const std::function<void(std::string_view)>& on_error_line,
                   const std::function<bool()>& stopped) {
    Pipe out, err;
    Child child(command, out.write.number, err.write.number);
    out.write.close();
    err.write.close();
    std::string text;
    LineCutter lines(on_error_line);
    std::optional<Clock::time_point> stopped_at;
    bool killed = false;
    std::array<pollfd, 2> streams{pollfd{out.read.number, POLLIN, 0}, pollfd{err.read.number, POLLIN, 0}};
    while (streams[0].fd >= 0 || streams[1].fd >= 0) {
        if (!stopped_at && stopped()) {
            stopped_at = Clock::now();
            child.send(SIGTERM);
        }
        if (stopped_at && !killed && Clock::now() - *stopped_at > kTimeToEnd) {
            child.send(SIGKILL);
            killed = true;
        }
        streams[0].revents = streams[1].revents = 0;
        if (::poll(streams.data(), streams.size(), kWakeUpMs) <= 0) continue;
        if (!drain(streams[0], [&](std::string_view bytes) { text += bytes; })) streams[0].fd = -1;
        if (!drain(streams[1], [&](std::string_view bytes) { lines.add(bytes); })) streams[1].fd = -1;
        if (text.size() > kMaxOutBytes)
            throw Error(ErrorKind::kMalformed, fmt::format("{}: writes more than {} bytes to stdout; expected less",
                                                           command.program.string(), kMaxOutBytes));
    }
    lines.finish();
    ChildEnd end = child.wait();
    end.out = std::move(text);
    return end;
}

}  // namespace plasticity
