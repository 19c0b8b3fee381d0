#pragma once

#include <httplib.h>

#include <atomic>
#include <cstdint>
#include <functional>
#include <string>
#include <thread>

#include "serve/connection.h"
#include "serve/limits.h"

namespace plasticity {

/// Who may ask what of the server.
struct HttpAccess {
    std::string host = "127.0.0.1";
    int port = 8080;      ///< 0: any that is free
    std::string api_key;  ///< empty: none is asked for, and only loopback addresses are listened on
};

/// httplib's server on bounded connections: a thread for each, at most ServeLimits::connections. When all are taken the
/// one that has waited longest for its client gives way, and only where all are at work the newcomer is turned away,
/// with 503. What a request must be before its body is read is checked here: its length, its kind, its host and its
/// key.
class HttpServer : private httplib::Server {
public:
    using httplib::Server::Get;
    using httplib::Server::Post;

    /// Listens, and serves nothing yet. @throws Error (kUsage for a host beyond loopback without a key, kIo)
    HttpServer(HttpAccess access, const ServeLimits& limits);
    ~HttpServer() override;

    /// Serves until stop(). Routes must be there by now. @param on_response  told every status
    void start(std::function<void(int)> on_response);
    /// Ends what is waited for at once, what is at work when it is done.
    void stop();

    int port() const { return port_; }
    std::size_t connections() const { return open_.size(); }

private:
    class Threads;

    bool process_and_close_socket(socket_t socket) override;
    void serve(Connection& connection);
    HandlerResponse check(const httplib::Request& request, httplib::Response& response) const;
    int refusal(const httplib::Request& request, std::string& why) const;
    bool has_key(const httplib::Request& request) const;

    HttpAccess access_;
    ServeLimits limits_;
    ConnectionList open_;
    std::atomic<bool> turning_away_{false};
    int port_ = 0;
    std::thread listener_;
};

/// An address that no other machine reaches. Names other than localhost are none.
bool is_loopback(const std::string& host);

/// Writes {"error": …} as the answer.
void set_error(httplib::Response& response, int status, std::string_view message);

}  // namespace plasticity
