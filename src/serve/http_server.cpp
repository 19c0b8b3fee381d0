#include "serve/http_server.h"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <openssl/crypto.h>
#include <sys/socket.h>
#include <unistd.h>

#include <exception>
#include <list>
#include <memory>
#include <utility>

#include "core/error.h"
#include "core/hash.h"
#include "serve/api_response.h"

namespace plasticity {
namespace {

constexpr const char* kTooSlow = "the request took too long to arrive";
constexpr const char* kTooLong = "the request's headers are too long";
constexpr int kBacklog = 256;
constexpr int kRequestsPerConnection = 1000;
/// Connections that were told to end may take a moment to do so.
constexpr std::size_t kThreadsBeyond = 64;

std::string without_port(std::string host) {
    const std::size_t colon = host.rfind(':');
    if (colon != std::string::npos && host.find(']', colon) == std::string::npos &&
        (host.starts_with('[') || host.find(':') == colon))
        host.resize(colon);
    if (host.starts_with('[') && host.ends_with(']')) host = host.substr(1, host.size() - 2);
    return host;
}

/// What httplib has no part in.
std::string error_answer(int status, const char* reason, std::string_view message) {
    const std::string body = error_json(status, message);
    return fmt::format(
        "HTTP/1.1 {} {}\r\nConnection: close\r\nRetry-After: 1\r\nContent-Type: application/json\r\n"
        "Content-Length: {}\r\n\r\n{}",
        status, reason, body.size(), body);
}

/// On the listener's thread, which must not wait for a client.
void turn_away(socket_t socket) {
    const std::string answer = error_answer(503, "Service Unavailable", "all connections are at work; try again later");
    static_cast<void>(send(socket, answer.data(), answer.size(), MSG_NOSIGNAL | MSG_DONTWAIT));
    ::shutdown(socket, SHUT_WR);
    char block[4096];
    static_cast<void>(recv(socket, block, sizeof block, MSG_DONTWAIT));
    close(socket);
}

/// httplib answers nothing where not even the first line came to its end.
void answer_unread(Connection& connection) {
    std::string answer;
    if (connection.timed_out())
        answer = error_answer(408, "Request Timeout", kTooSlow);
    else if (connection.too_long())
        answer = error_answer(431, "Request Header Fields Too Large", kTooLong);
    if (!answer.empty()) connection.write(answer.data(), answer.size());
}

/// Thousands of ranges in one header would make an answer of thousands of copies.
void without_ranges(httplib::Request& request) {
    request.ranges.clear();
}

bool is_number(const std::string& text) {
    return !text.empty() && text.size() < 16 && text.find_first_not_of("0123456789") == std::string::npos;
}

bool is_json(const std::string& content_type) {
    return content_type == "application/json" || content_type.starts_with("application/json;");
}

}  // namespace

bool is_loopback(const std::string& host) {
    if (host == "localhost" || host == "::1") return true;
    in_addr address{};
    return inet_pton(AF_INET, host.c_str(), &address) == 1 && (ntohl(address.s_addr) >> 24) == 127;
}

void set_error(httplib::Response& response, int status, std::string_view message) {
    response.status = status;
    response.set_content(error_json(status, message), "application/json");
}

/// A thread for each connection.
class HttpServer::Threads : public httplib::TaskQueue {
public:
    explicit Threads(HttpServer& server) : server_(server) {}

    /// On the listener's thread.
    void enqueue(std::function<void()> task) override {
        running_.remove_if([](Running& one) {
            if (!one.done->load()) return false;
            one.thread.join();
            return true;
        });
        const std::size_t most = server_.limits_.connections;
        if (running_.size() >= most) server_.open_.abort_longest_waiting();
        if (server_.open_.working() >= most || running_.size() >= most + kThreadsBeyond) {
            server_.turning_away_ = true;
            task();
            server_.turning_away_ = false;
            return;
        }
        auto done = std::make_shared<std::atomic<bool>>(false);
        running_.push_back({std::thread([task = std::move(task), done] {
                                task();
                                done->store(true);
                            }),
                            done});
    }

    void shutdown() override {
        for (Running& one : running_) one.thread.join();
        running_.clear();
    }

private:
    struct Running {
        std::thread thread;
        std::shared_ptr<std::atomic<bool>> done;
    };
    HttpServer& server_;
    std::list<Running> running_;
};

HttpServer::HttpServer(HttpAccess access, const ServeLimits& limits) : access_(std::move(access)), limits_(limits) {
    if (access_.api_key.empty() && !is_loopback(access_.host))
        throw Error(ErrorKind::kUsage, fmt::format("serve: others than this machine reach {}; give a key for them with "
                                                   "--api-key, or listen on 127.0.0.1",
                                                   access_.host));
    // httplib would let a second server listen on the same port.
    set_socket_options([](socket_t socket) {
        const int yes = 1;
        setsockopt(socket, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
    });
    new_task_queue = [this] { return new Threads(*this); };
    set_payload_max_length(limits_.body_bytes);
    set_tcp_nodelay(true);
    set_pre_routing_handler([this](const auto& request, auto& response) { return check(request, response); });
    set_exception_handler([](const auto&, auto& response, const std::exception_ptr&) {
        set_error(response, 500, "the server failed at this request");
    });
    port_ = access_.port == 0 ? bind_to_any_port(access_.host)
                              : (bind_to_port(access_.host, access_.port) ? access_.port : -1);
    if (port_ < 0)
        throw Error(ErrorKind::kIo, fmt::format("serve: cannot listen on {}:{}; is another program there? Take another "
                                                "--port",
                                                access_.host, access_.port));
    ::listen(svr_sock_, kBacklog);  // httplib asks for five, which many clients at once overrun
}

HttpServer::~HttpServer() {
    stop();
    if (const socket_t left = svr_sock_.exchange(INVALID_SOCKET); left != INVALID_SOCKET) close(left);
}

void HttpServer::start(std::function<void(int)> on_response) {
    set_error_handler(HandlerWithResponse([](const httplib::Request&, httplib::Response& response) {
        if (!response.body.empty()) return HandlerResponse::Handled;
        // What httplib itself refuses has not been read to its end.
        Connection* connection = Connection::current();
        connection->close_after_this();
        response.set_header("Connection", "close");
        if (connection->timed_out())
            set_error(response, 408, kTooSlow);
        else if (connection->too_long())
            set_error(response, 431, kTooLong);
        else if (response.status == 404)
            set_error(response, 404, "there is no such path, or not for this method");
        else
            set_error(response, response.status, "this is no request that the server understands");
        return HandlerResponse::Handled;
    }));
    set_logger([on_response = std::move(on_response)](const httplib::Request&, const httplib::Response& response) {
        on_response(response.status);
    });
    listener_ = std::thread([this] { listen_after_bind(); });
    while (!is_running()) std::this_thread::yield();
}

void HttpServer::stop() {
    if (!listener_.joinable()) return;
    httplib::Server::stop();
    open_.abort_waiting();
    listener_.join();
}

bool HttpServer::process_and_close_socket(socket_t socket) {
    if (turning_away_) {
        turn_away(socket);
        return false;
    }
    Connection connection(socket, limits_);
    open_.add(connection);
    try {
        serve(connection);
    } catch (const std::exception&) {  // memory ran out in the midst of a request; its client sees the end
    }
    connection.make_current(false);
    open_.remove(connection);
    return true;
}

void HttpServer::serve(Connection& connection) {
    for (int i = 0; i < kRequestsPerConnection && !connection.closing() && is_running(); ++i) {
        if (!connection.await_request()) return;
        bool closed = false;
        connection.make_current(true);
        // Whatever the check refuses is answered before the body is read, so nothing may follow on this connection.
        const bool ok = process_request(connection, i + 1 == kRequestsPerConnection, closed, without_ranges);
        connection.make_current(false);
        if (!ok) answer_unread(connection);
        if (!ok || closed) return;
    }
}

httplib::Server::HandlerResponse HttpServer::check(const httplib::Request& request, httplib::Response& response) const {
    Connection* connection = Connection::current();
    std::string why;
    const int status = refusal(request, why);
    if (status == 0) {
        const std::string length = request.get_header_value("Content-Length");
        connection->begin_body(length.empty() ? 0 : std::stoull(length));
        return HandlerResponse::Unhandled;
    }
    connection->close_after_this();
    response.set_header("Connection", "close");
    if (status == 401) response.set_header("WWW-Authenticate", "Bearer");
    set_error(response, status, why);
    return HandlerResponse::Handled;
}

/// @returns the status to refuse with, 0 for none
int HttpServer::refusal(const httplib::Request& request, std::string& why) const {
    const auto refuse = [&](int status, std::string text) {
        why = std::move(text);
        return status;
    };
    const std::size_t lengths = request.get_header_value_count("Content-Length");
    const std::string length = request.get_header_value("Content-Length");
    if (request.has_header("Transfer-Encoding") || (request.method == "POST" && lengths == 0))
        return refuse(411, "the body's length must be given by Content-Length");
    if (lengths > 1 || (lengths == 1 && !is_number(length))) return refuse(400, "Content-Length is no length");
    if (lengths == 1 && std::stoull(length) > limits_.body_bytes)
        return refuse(413, fmt::format("the body is {} bytes; expected {} at most", length, limits_.body_bytes));
    if (request.method != "POST" && lengths == 1 && length != "0") return refuse(400, "only POST takes a body");
    if (request.has_header("Content-Encoding")) return refuse(415, "the body must not be compressed");
    if (request.method == "POST" && !is_json(request.get_header_value("Content-Type")))
        return refuse(415, "Content-Type must be application/json");
    // A page of another site could make a browser ask us under its own name (DNS rebinding); with a key it cannot know.
    const std::string host = without_port(request.get_header_value("Host"));
    if (access_.api_key.empty() && !is_loopback(host) && host != access_.host)
        return refuse(403, "Host is not this machine's");
    const bool is_open = request.method == "GET" && (request.path == "/health" || request.path == "/");
    if (!is_open && !has_key(request)) return refuse(401, "the API key is missing or wrong: Authorization: Bearer KEY");
    return 0;
}

/// Digests of equal length are compared, so that time tells neither how much of a key is right nor how long it is.
bool HttpServer::has_key(const httplib::Request& request) const {
    if (access_.api_key.empty()) return true;
    const std::string wanted = sha256_hex("Bearer " + access_.api_key);
    const std::string given = sha256_hex(request.get_header_value("Authorization"));
    return CRYPTO_memcmp(given.data(), wanted.data(), wanted.size()) == 0;
}

}  // namespace plasticity
