#include "ipc/child_process.h"

#include <fmt/format.h>
#include <poll.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <optional>
#include <utility>

#include "core/clock.h"
#include "core/error.h"

namespace plasticity {
namespace {

constexpr std::size_t kMaxOutBytes = std::size_t{64} << 20;  // the largest recipe
constexpr std::size_t kMaxLineBytes = 16 << 10;
constexpr int kWakeUpMs = 100;
constexpr std::chrono::seconds kTimeToEnd{30};
constexpr int kCannotStart = 127;  // as shells say

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

/// Reads both streams until their ends. @returns what it wrote to stdout
std::string follow(const StartedChild& child, const ChildCommand& command,
                   const std::function<void(std::string_view)>& on_error_line, const std::function<bool()>& stopped) {
    std::string text;
    LineCutter lines(on_error_line);
    std::optional<Clock::time_point> stopped_at;
    bool killed = false;
    std::array<pollfd, 2> streams{pollfd{child.out(), POLLIN, 0}, pollfd{child.err(), POLLIN, 0}};
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
    return text;
}

}  // namespace

ChildEnd run_child(ChildCommand command, const std::function<void(std::string_view)>& on_error_line,
                   const std::function<bool()>& stopped) {
    command.death_signal = SIGTERM;
    std::optional<StartedChild> child;
    try {
        child.emplace(command);
    } catch (const Error& problem) {
        on_error_line(fmt::format("plasticity: {}", problem.what()));
        return {.exit_code = kCannotStart, .signal = 0, .out = {}};
    }
    std::string out = follow(*child, command, on_error_line, stopped);
    const int status = child->wait();
    if (WIFSIGNALED(status))
        return {.exit_code = 128 + WTERMSIG(status), .signal = WTERMSIG(status), .out = std::move(out)};
    return {.exit_code = WEXITSTATUS(status), .signal = 0, .out = std::move(out)};
}

}  // namespace plasticity
