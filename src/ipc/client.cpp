#include "ipc/client.h"

#include <fmt/format.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <optional>

#include "core/error.h"
#include "core/interrupt.h"
#include "io/child_process.h"
#include "io/strict_json.h"
#include "ipc/progress_replay.h"
#include "ipc/rpc_message.h"
#include "ipc/unix_socket.h"

namespace plasticity {
namespace {

using nlohmann::json;
using nlohmann::ordered_json;

constexpr std::size_t kMaxAnswerBytes = std::size_t{256} << 20;
constexpr int kSignalCheckMs = 200;

/// A connection as lines that are waited for.
class ServerLines {
public:
    explicit ServerLines(const std::filesystem::path& path) : path_(path), socket_(connect_to(path)) {}
    ServerLines(const ServerLines&) = delete;
    ServerLines& operator=(const ServerLines&) = delete;
    ~ServerLines() { ::close(socket_); }

    void send(std::string_view line) const {
        while (!line.empty()) {
            const ssize_t n = ::send(socket_, line.data(), line.size(), MSG_NOSIGNAL);
            throw_if_interrupted();
            if (n < 0 && errno != EINTR)
                throw Error(ErrorKind::kIo,
                            fmt::format("{}: cannot be written to: {}", path_.string(), system_reason(errno)));
            line.remove_prefix(n < 0 ? 0 : static_cast<std::size_t>(n));
        }
    }

    /// @returns nothing when the server has hung up
    std::optional<std::string> next() {
        for (;;) {
            if (const std::size_t end = buffer_.find('\n', searched_); end != std::string::npos) {
                std::string line = buffer_.substr(0, end);
                buffer_.erase(0, end + 1);
                searched_ = 0;
                return line;
            }
            searched_ = buffer_.size();
            if (buffer_.size() > kMaxAnswerBytes)
                throw Error(ErrorKind::kMalformed,
                            fmt::format("{}: answers with more than {} bytes in one line; is it a "
                                        "server of this program?",
                                        path_.string(), kMaxAnswerBytes));
            if (!receive()) return std::nullopt;
        }
    }

private:
    bool receive() {
        pollfd wait{socket_, POLLIN, 0};
        while (::poll(&wait, 1, kSignalCheckMs) <= 0) throw_if_interrupted();
        std::array<char, 64 << 10> block{};
        const ssize_t n = ::recv(socket_, block.data(), block.size(), 0);
        if (n < 0 && errno == EINTR) return true;
        if (n > 0) buffer_.append(block.data(), static_cast<std::size_t>(n));
        return n > 0;
    }

    std::filesystem::path path_;
    int socket_;
    std::string buffer_;
    std::size_t searched_ = 0;
};

/// An error's exit code stands in its data where a job failed, else the code tells whose fault it was.
[[noreturn]] void throw_failure(const json& error) {
    const int code = error.value("code", static_cast<int>(kRpcInternal));
    const std::string message = error.value("message", "the server gave no reason");
    if (code == kRpcCancelled) throw Interrupted(SIGTERM);
    if (const std::optional<ErrorKind> kind = error_kind_of(kRpcFailed - code)) throw Error(*kind, message);
    if (code == kRpcInternal) throw Error(ErrorKind::kInternal, message);
    throw Error(code == kRpcNoSuchJob ? ErrorKind::kMissing : ErrorKind::kUsage, message);
}

class Call {
public:
    Call(const std::filesystem::path& socket, Progress& progress)
        : path_(socket), lines_(socket), progress_(progress), replay_(progress) {}

    MethodResult run(const std::string& method, const json& params) {
        lines_.send(json{{"jsonrpc", "2.0"}, {"id", 1}, {"method", method}, {"params", params}}.dump() + "\n");
        try {
            while (std::optional<std::string> line = lines_.next()) {
                const json message = parse_strict_json(*line, path_.string(), kMaxDepth);
                if (message.contains("error")) throw_failure(message["error"]);
                if (message.contains("result"))
                    return {.data = ordered_json::parse(*line).at("result"), .exit_code = exit_code_};
                take_note(message.value("params", json::object()));
            }
        } catch (const Interrupted&) {
            if (job_ != 0 && exit_code_ == 0) progress_.note(fmt::format("job {} goes on; {}", job_, how_to_return()));
            throw;
        }
        throw Error(ErrorKind::kIo, job_ == 0 ? fmt::format("{}: the server hung up", path_.string())
                                              : fmt::format("{}: the server ended; job {} goes on when it is started "
                                                            "again: {}",
                                                            path_.string(), job_, how_to_return()));
    }

private:
    static constexpr int kMaxDepth = 64;

    std::string how_to_return() const {
        return fmt::format("plasticity call plasticity/attach --jobId={} --socket {}", job_, path_.string());
    }

    void take_note(const json& params) {
        if (!params.is_object() || !params.contains("event")) return;
        const auto event = params.value("event", "");
        if (event == "queued") {
            job_ = params.value("jobId", std::int64_t{0});
            progress_.note(fmt::format("job {}", job_));
        }
        if (event == "finished") exit_code_ = params.value("exitCode", 0);
        replay_.show(params);
    }

    std::filesystem::path path_;
    ServerLines lines_;
    Progress& progress_;
    ProgressReplay replay_;
    std::int64_t job_ = 0;
    int exit_code_ = 0;
};

}  // namespace

MethodResult call_server(const std::filesystem::path& socket, const std::string& method, const json& params,
                         Progress& progress) {
    return Call(socket, progress).run(method, params);
}

MethodResult call_here(const Method& method, const json& params, Progress& progress) {
    ProgressReplay replay(progress);
    const MethodHooks hooks{.on_progress = [&](const ordered_json& event) { replay.show(event); },
                            .on_state = [](const MethodState&) {},
                            .stopped = is_interrupted};
    return run_method(method, params, {}, hooks, own_program());
}

}  // namespace plasticity
