#pragma once

#include <httplib.h>

#include <atomic>
#include <chrono>
#include <cstddef>
#include <mutex>
#include <set>
#include <string>

#include "core/clock.h"
#include "serve/limits.h"

namespace plasticity {

/// What a connection is about, for whoever looks for one to close.
enum class ConnectionState { kWaiting, kWorking, kEnding };

/// One client's socket as httplib reads and writes it, with what httplib 0.11 lacks: a bound on the headers of a
/// request altogether, and deadlines for headers and body as a whole, however slowly bytes trickle in.
class Connection : public httplib::Stream {
public:
    /// Closes the socket at its end, after the client had a moment to read what was written.
    Connection(int socket, const ServeLimits& limits);
    ~Connection() override;
    Connection(const Connection&) = delete;
    Connection& operator=(const Connection&) = delete;

    /// The connection whose request this thread serves; nullptr outside of requests.
    static Connection* current();
    void make_current(bool is);

    /// Waits for a request's first byte, at most ServeLimits::idle_time. @returns false when none comes
    bool await_request();
    /// Headers are through: `body_bytes` more may follow.
    void begin_body(std::size_t body_bytes);
    /// The request is in; answering it may take as long as it likes.
    void begin_work() { state_ = ConnectionState::kWorking; }

    /// The client has closed its end, or is gone.
    bool client_left() const;
    /// Nothing more is read of it after this request: what follows cannot be trusted to be one.
    void close_after_this() { closing_ = true; }
    bool closing() const { return closing_; }
    bool timed_out() const { return timed_out_; }
    bool too_long() const { return too_long_; }
    ConnectionState state() const { return state_; }
    Clock::time_point waiting_since() const { return since_.load(); }
    /// Wakes whoever reads or writes: both fail from now on. From any thread.
    void abort();

    bool is_readable() const override;
    bool is_writable() const override;
    ssize_t read(char* into, size_t size) override;
    ssize_t write(const char* from, size_t size) override;
    void get_remote_ip_and_port(std::string& ip, int& port) const override;
    void get_local_ip_and_port(std::string& ip, int& port) const override;
    socket_t socket() const override { return socket_; }

private:
    /// @returns false when the deadline passed first
    bool wait_for(short events, Clock::time_point deadline) const;
    bool refill();
    void linger();

    int socket_;
    const ServeLimits& limits_;
    std::string buffer_;  ///< read and not taken
    std::size_t taken_ = 0;
    std::size_t allowed_ = 0;  ///< bytes that httplib may still take
    Clock::time_point deadline_;
    std::atomic<Clock::time_point> since_;
    std::atomic<ConnectionState> state_{ConnectionState::kWaiting};
    bool closing_ = false, timed_out_ = false, too_long_ = false, broken_ = false;
};

/// The connections that are open. Thread-safe.
class ConnectionList {
public:
    void add(Connection& connection);
    void remove(Connection& connection);
    std::size_t size() const;
    std::size_t working() const;
    /// Aborts the one that has waited longest for its client, if one waits.
    void abort_longest_waiting();
    void abort_waiting();

private:
    mutable std::mutex mutex_;
    std::set<Connection*> open_;
};

}  // namespace plasticity
