#include "ipc/server.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <deque>
#include <list>
#include <mutex>
#include <optional>
#include <utility>
#include <vector>

#include "core/error.h"
#include "core/interrupt.h"
#include "io/child_process.h"
#include "io/started_child.h"
#include "ipc/dispatcher.h"
#include "ipc/unix_socket.h"

namespace plasticity {
namespace {

namespace fs = std::filesystem;

constexpr int kServerWakeUpMs = 200;
constexpr std::size_t kMaxEvents = 1024;  // of progress; the ends of jobs are never left out

/// What the worker has to say to the thread that talks to clients, and a pipe that wakes it.
class Inbox {
public:
    Inbox() {
        for (const int end : {pipe_.read_end(), pipe_.write_end()}) ::fcntl(end, F_SETFL, O_NONBLOCK);
    }

    int descriptor() const { return pipe_.read_end(); }

    void put(JobEvent event) {
        const std::lock_guard lock(mutex_);
        if (!event.progress.is_null() && events_.size() >= kMaxEvents) return;
        events_.push_back(std::move(event));
        static_cast<void>(!::write(pipe_.write_end(), "", 1));  // full: it is awake already
    }

    std::deque<JobEvent> take() {
        std::array<char, 256> bytes{};
        while (::read(pipe_.read_end(), bytes.data(), bytes.size()) > 0) {
        }
        const std::lock_guard lock(mutex_);
        return std::exchange(events_, {});
    }

private:
    std::mutex mutex_;
    std::deque<JobEvent> events_;
    Pipe pipe_;
};

fs::path jobs_folder(const IpcOptions& options) {
    if (!options.jobs.empty() || options.socket.empty()) return options.jobs;
    return options.socket.string() + ".jobs";
}

MethodResult run_job_of(const Job& job, const MethodHooks& hooks) {
    const Method* method = find_method(job.method);
    if (method == nullptr) throw Error(ErrorKind::kUsage, fmt::format("{}: is no method of this version", job.method));
    return run_method(*method, job.parameters, job.progress, hooks, own_program());
}

/// One thread's view of all clients.
class Server {
public:
    Server(const IpcOptions& options, Progress& progress)
        : options_(options),
          queue_(JobStore(jobs_folder(options)), options.limits,
                 {.work = run_job_of,
                  .on_event = [this](JobEvent event) { inbox_.put(std::move(event)); },
                  .note = [&progress](const std::string& message) { progress.note(message); }}),
          dispatcher_(queue_, options_.limits, options.allow_shell) {
        if (options.socket.empty())
            clients_.emplace_back(STDIN_FILENO, STDOUT_FILENO, ClientChannel::Owned::kNo, options_.limits);
        else
            listener_.emplace(options.socket);  // once the jobs' folder is ours: what is there then is stale
    }

    void run() {
        queue_.start();
        while (!is_done()) {
            throw_if_interrupted();
            turn();
        }
        queue_.stop();
    }

private:
    bool is_done() const {
        if (!dispatcher_.is_shutting_down()) return !listener_ && clients_.empty();
        for (const ClientChannel& client : clients_)
            if (client.wants_to_write() && !was_told_) return false;
        return true;
    }

    /// Waits for whatever comes first, then does all that can be done without waiting.
    void turn() {
        std::vector<pollfd> waits{{inbox_.descriptor(), POLLIN, 0},
                                  {listener_ ? listener_->descriptor() : -1, POLLIN, 0}};
        for (const ClientChannel& client : clients_) {
            // A descriptor below 0 is passed over; without events, only the other end's leaving is told.
            waits.push_back({client.wants_to_read() || client.can_hang_up() ? client.in() : -1,
                             static_cast<short>(client.wants_to_read() ? POLLIN : 0), 0});
            waits.push_back({client.wants_to_write() ? client.out() : -1, POLLOUT, 0});
        }
        const int n_ready = ::poll(waits.data(), waits.size(), kServerWakeUpMs);
        was_told_ = dispatcher_.is_shutting_down() && n_ready == 0;  // who takes nothing is not waited for
        if (n_ready < 0) return;
        std::size_t i = 2;
        for (ClientChannel& client : clients_) {
            const short to_read = waits[i++].revents, to_write = waits[i++].revents;
            if (to_read != 0 && client.can_hang_up()) client.hang_up();
            if (to_read != 0 && client.wants_to_read()) read(client);
            if (to_write != 0) client.write();
        }
        tell_clients();
        std::erase_if(clients_, [](const ClientChannel& client) { return client.is_finished(); });
        if (waits[1].revents != 0) accept();
    }

    void read(ClientChannel& client) {
        client.read([&](std::string_view line) { dispatcher_.take_line(client, line); },
                    [&] { dispatcher_.refuse_long_line(client); });
    }

    void tell_clients() {
        for (const JobEvent& event : inbox_.take())
            for (ClientChannel& client : clients_) IpcDispatcher::tell(client, event);
    }

    void accept() {
        const int connection = listener_->accept();
        if (connection < 0) return;
        if (clients_.size() < options_.limits.connections) {
            clients_.emplace_back(connection, connection, ClientChannel::Owned::kYes, options_.limits);
            return;
        }
        const std::string answer =
            rpc_failure(std::nullopt, {.code = kRpcQueueFull, .message = "too many connections", .data = nullptr});
        static_cast<void>(!::write(connection, answer.data(), answer.size()));
        ::close(connection);
    }

    IpcOptions options_;
    Inbox inbox_;  // outlives the queue, whose thread writes to it
    JobQueue queue_;
    IpcDispatcher dispatcher_;
    std::list<ClientChannel> clients_;
    std::optional<UnixListener> listener_;
    bool was_told_ = false;
};

}  // namespace

void serve_ipc(const IpcOptions& options, const std::function<void()>& on_ready, Progress& progress) {
    ::signal(SIGPIPE, SIG_IGN);  // a client that left is told by write
    Server server(options, progress);
    on_ready();
    server.run();
}

}  // namespace plasticity
