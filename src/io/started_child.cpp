#include "io/started_child.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>

#include "core/error.h"

#ifdef __linux__
#include <sys/prctl.h>
#endif

namespace plasticity {
namespace {

constexpr int kNotStarted = 127;

[[noreturn]] void fail_to_start(const ChildCommand& command, const std::string& reason, ErrorKind kind) {
    throw Error(kind, fmt::format("{}: cannot be started: {}", command.program.string(), reason));
}

/// What exec wants, made before the fork: in a child of a process with threads nothing may be allocated.
struct ExecArguments {
    explicit ExecArguments(const ChildCommand& command) : words{command.program.string()} {
        words.insert(words.end(), command.arguments.begin(), command.arguments.end());
        if (command.sandbox) {
            settings = {"PATH=/usr/local/bin:/usr/bin:/bin", "LANG=C.UTF-8"};
        } else {
            for (char** setting = environ; *setting != nullptr; ++setting) settings.emplace_back(*setting);
            for (const auto& [name, value] : command.environment) settings.push_back(fmt::format("{}={}", name, value));
        }
        for (std::string& word : words) argv.push_back(word.data());
        argv.push_back(nullptr);
        for (std::string& setting : settings) envp.push_back(setting.data());
        envp.push_back(nullptr);
    }
    std::vector<std::string> words, settings;
    std::vector<char*> argv, envp;
};

/// What the child tells its parent when it comes to no exec.
struct StartFailure {
    int error = 0;
    const char* step = nullptr;  ///< a literal: the parent has it at the same address; nullptr: the exec itself
};

/// What the child has from its parent.
struct Inheritance {
    std::array<int, 3> streams;  ///< to be its stdin, stdout and stderr
    int told;                    ///< where a StartFailure goes
    pid_t parent;
};

/// In the child. Nothing here allocates.
[[noreturn]] void become(const ChildCommand& command, ExecArguments& exec, const PreparedSandbox* sandbox,
                         const Inheritance& from) {
    StartFailure failure;
    setpgid(0, 0);
#ifdef __linux__
    prctl(PR_SET_PDEATHSIG, command.death_signal);
    if (getppid() != from.parent) _exit(kNotStarted);  // it died before that took hold
#endif
    for (int stream = 0; stream < 3; ++stream) dup2(from.streams[static_cast<std::size_t>(stream)], stream);
    for (const int signal : {SIGINT, SIGTERM, SIGPIPE}) ::signal(signal, SIG_DFL);
    bool ready = command.folder.empty() || chdir(command.folder.c_str()) == 0;
    if (!ready) failure.step = "the folder cannot be entered";
    if (ready && sandbox != nullptr) {
        failure.step = sandbox->enter();
        ready = failure.step == nullptr;
    }
    if (ready) execve(exec.argv[0], exec.argv.data(), exec.envp.data());
    failure.error = errno;
    [[maybe_unused]] const ssize_t n = write(from.told, &failure, sizeof failure);
    _exit(kNotStarted);
}

}  // namespace

Pipe::Pipe() {
    if (pipe(ends_.data()) != 0)
        throw Error(ErrorKind::kIo, fmt::format("cannot make a pipe to another process: {}", system_reason(errno)));
    for (const int end : ends_) fcntl(end, F_SETFD, FD_CLOEXEC);
}

Pipe::~Pipe() {
    close_write();
    close(ends_[0]);
}

void Pipe::close_write() {
    if (ends_[1] >= 0) close(std::exchange(ends_[1], -1));
}

StartedChild::StartedChild(const ChildCommand& command) {
    ExecArguments exec(command);
    std::optional<PreparedSandbox> sandbox;
    if (command.sandbox) sandbox.emplace(*command.sandbox);
    const int nothing = open("/dev/null", O_RDONLY | O_CLOEXEC);
    const Inheritance from{
        .streams = {nothing, out_.write_end(), err_.write_end()}, .told = told_.write_end(), .parent = getpid()};
    pid_ = fork();
    if (pid_ == 0) become(command, exec, sandbox ? &*sandbox : nullptr, from);
    const int error = errno;
    close(nothing);
    if (pid_ < 0) fail_to_start(command, system_reason(error), ErrorKind::kIo);
    setpgid(pid_, pid_);  // both do it: neither knows who comes first
    for (Pipe* pipe : {&out_, &err_, &told_}) pipe->close_write();
    require_started(command);
}

void StartedChild::require_started(const ChildCommand& command) {
    StartFailure failure;
    ssize_t n = 0;
    do n = read(told_.read_end(), &failure, sizeof failure);
    while (n < 0 && errno == EINTR);
    if (n != sizeof failure) return;  // the exec closed it
    wait();
    const ErrorKind kind = failure.step != nullptr ? ErrorKind::kUsage : ErrorKind::kIo;
    const std::string step = failure.step != nullptr ? std::string(failure.step) + ": " : "";
    fail_to_start(command, step + system_reason(failure.error), kind);
}

StartedChild::~StartedChild() {
    if (status_) return;
    send(SIGKILL);
    wait();
}

void StartedChild::send(int signal) const {
    kill(-pid_, signal);
}

std::optional<int> StartedChild::status() {
    int status = 0;
    if (!status_ && waitpid(pid_, &status, WNOHANG) == pid_) status_ = status;
    return status_;
}

int StartedChild::wait() {
    int status = 0;
    while (!status_)
        if (waitpid(pid_, &status, 0) == pid_) status_ = status;
    return *status_;
}

}  // namespace plasticity
