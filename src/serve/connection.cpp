#include "serve/connection.h"

#include <netdb.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>

namespace plasticity {
namespace {

constexpr std::size_t kBlock = 16 << 10;
/// What a client that was refused still sends is read for a moment: closing at once would take the answer with it.
constexpr std::chrono::milliseconds kLinger{500};
constexpr std::size_t kLingerBytes = 1 << 20;

thread_local Connection* served = nullptr;

using NameFunction = int (*)(int, sockaddr*, socklen_t*);

void read_address(NameFunction name_of, int socket, std::string& ip, int& port) {
    sockaddr_storage address{};
    socklen_t length = sizeof address;
    char host[NI_MAXHOST], service[NI_MAXSERV];
    ip.clear();
    port = 0;
    if (name_of(socket, reinterpret_cast<sockaddr*>(&address), &length) != 0) return;
    if (getnameinfo(reinterpret_cast<sockaddr*>(&address), length, host, sizeof host, service, sizeof service,
                    NI_NUMERICHOST | NI_NUMERICSERV) != 0)
        return;
    ip = host;
    port = static_cast<int>(std::strtol(service, nullptr, 10));
}

}  // namespace

Connection::Connection(int socket, const ServeLimits& limits)
    : socket_(socket), limits_(limits), deadline_(Clock::now()), since_(Clock::now()) {}

Connection::~Connection() {
    linger();
    close(socket_);
}

void Connection::linger() {
    if (broken_ || ::shutdown(socket_, SHUT_WR) != 0) return;
    const auto end = Clock::now() + kLinger;
    char block[kBlock];
    for (std::size_t drained = 0; drained < kLingerBytes && wait_for(POLLIN, end);) {
        const ssize_t n = recv(socket_, block, sizeof block, MSG_DONTWAIT);
        if (n <= 0) return;
        drained += static_cast<std::size_t>(n);
    }
}

Connection* Connection::current() {
    return served;
}

void Connection::make_current(bool is) {
    served = is ? this : nullptr;
}

bool Connection::await_request() {
    state_ = ConnectionState::kWaiting;
    since_ = Clock::now();
    if (taken_ == buffer_.size() && !wait_for(POLLIN, Clock::now() + limits_.idle_time)) return false;
    allowed_ = limits_.header_bytes;
    deadline_ = Clock::now() + limits_.header_time;
    return true;
}

void Connection::begin_body(std::size_t body_bytes) {
    allowed_ = body_bytes;
    deadline_ = Clock::now() + limits_.body_time;
}

bool Connection::client_left() const {
    char byte = 0;
    const ssize_t n = recv(socket_, &byte, 1, MSG_PEEK | MSG_DONTWAIT);
    return n == 0 || (n < 0 && errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR);
}

void Connection::abort() {
    state_ = ConnectionState::kEnding;
    ::shutdown(socket_, SHUT_RDWR);
}

bool Connection::wait_for(short events, Clock::time_point deadline) const {
    for (;;) {
        const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - Clock::now());
        pollfd wait{socket_, events, 0};
        const int ready = poll(&wait, 1, static_cast<int>(std::max<std::int64_t>(left.count(), 0)));
        if (ready > 0) return true;
        if (ready == 0) return false;
        if (errno != EINTR) return false;
    }
}

bool Connection::is_readable() const {
    return taken_ < buffer_.size() || wait_for(POLLIN, deadline_);
}

bool Connection::is_writable() const {
    return !broken_ && !client_left();
}

bool Connection::refill() {
    if (!wait_for(POLLIN, deadline_)) {
        timed_out_ = closing_ = true;
        return false;
    }
    buffer_.resize(kBlock);
    taken_ = 0;
    const ssize_t n = recv(socket_, buffer_.data(), buffer_.size(), MSG_DONTWAIT);
    buffer_.resize(n > 0 ? static_cast<std::size_t>(n) : 0);
    if (n > 0 || (n < 0 && (errno == EINTR || errno == EAGAIN))) return true;
    broken_ = closing_ = true;
    return false;
}

ssize_t Connection::read(char* into, size_t size) {
    if (allowed_ == 0) {
        too_long_ = closing_ = true;
        return -1;
    }
    while (taken_ == buffer_.size())
        if (!refill()) return -1;
    const std::size_t n = std::min({size, buffer_.size() - taken_, allowed_});
    std::memcpy(into, buffer_.data() + taken_, n);
    taken_ += n;
    allowed_ -= n;
    return static_cast<ssize_t>(n);
}

ssize_t Connection::write(const char* from, size_t size) {
    std::size_t written = 0;
    auto deadline = Clock::now() + limits_.write_time;
    while (written < size && !broken_) {
        const ssize_t n = send(socket_, from + written, size - written, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (n > 0) {
            written += static_cast<std::size_t>(n);
            deadline = Clock::now() + limits_.write_time;
        } else if (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR) {
            if (!wait_for(POLLOUT, deadline)) broken_ = closing_ = true;
        } else {
            broken_ = closing_ = true;
        }
    }
    return written == size ? static_cast<ssize_t>(size) : -1;
}

void Connection::get_remote_ip_and_port(std::string& ip, int& port) const {
    read_address(getpeername, socket_, ip, port);
}

void Connection::get_local_ip_and_port(std::string& ip, int& port) const {
    read_address(getsockname, socket_, ip, port);
}

void ConnectionList::add(Connection& connection) {
    const std::lock_guard lock(mutex_);
    open_.insert(&connection);
}

void ConnectionList::remove(Connection& connection) {
    const std::lock_guard lock(mutex_);
    open_.erase(&connection);
}

std::size_t ConnectionList::size() const {
    const std::lock_guard lock(mutex_);
    return open_.size();
}

std::size_t ConnectionList::working() const {
    const std::lock_guard lock(mutex_);
    return static_cast<std::size_t>(std::ranges::count(open_, ConnectionState::kWorking, &Connection::state));
}

void ConnectionList::abort_longest_waiting() {
    const std::lock_guard lock(mutex_);
    Connection* longest = nullptr;
    for (Connection* connection : open_)
        if (connection->state() == ConnectionState::kWaiting &&
            (longest == nullptr || connection->waiting_since() < longest->waiting_since()))
            longest = connection;
    if (longest != nullptr) longest->abort();
}

void ConnectionList::abort_waiting() {
    const std::lock_guard lock(mutex_);
    for (Connection* connection : open_)
        if (connection->state() == ConnectionState::kWaiting) connection->abort();
}

}  // namespace plasticity
