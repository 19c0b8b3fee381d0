#pragma once

// A client that sends what bytes it likes, and says what came back.

#include <arpa/inet.h>
#include <fmt/format.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstdlib>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>

namespace plasticity::test {

class RawClient {
public:
    explicit RawClient(int port) : socket_(::socket(AF_INET, SOCK_STREAM, 0)) {
        sockaddr_in address{};
        address.sin_family = AF_INET;
        address.sin_port = htons(static_cast<std::uint16_t>(port));
        address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        if (::connect(socket_, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0)
            throw std::runtime_error("cannot connect");
    }
    ~RawClient() { leave(); }
    RawClient(RawClient&& other) noexcept : socket_(std::exchange(other.socket_, -1)) {}
    RawClient(const RawClient&) = delete;
    RawClient& operator=(const RawClient&) = delete;

    void send(std::string_view bytes) const {
        static_cast<void>(::send(socket_, bytes.data(), bytes.size(), MSG_NOSIGNAL));
    }
    /// Until the server closes, or says nothing for so long.
    std::string read(int patience_ms = 3000) const {
        std::string all;
        char block[4096];
        for (;;) {
            pollfd wait{socket_, POLLIN, 0};
            if (poll(&wait, 1, patience_ms) <= 0) return all;
            const ssize_t n = recv(socket_, block, sizeof block, 0);
            if (n <= 0) return all;
            all.append(block, static_cast<std::size_t>(n));
        }
    }
    /// Until the answer holds this, or the server closes.
    std::string read_until(std::string_view end) const {
        std::string all;
        char letter = 0;
        while (all.find(end) == std::string::npos) {
            pollfd wait{socket_, POLLIN, 0};
            if (poll(&wait, 1, 20'000) <= 0 || recv(socket_, &letter, 1, 0) <= 0) break;
            all += letter;
        }
        return all;
    }
    void leave() {
        if (socket_ >= 0) close(std::exchange(socket_, -1));
    }

private:
    int socket_;
};

inline std::string post_text(std::string_view path, std::string_view body, std::string_view more_headers = "") {
    return fmt::format(
        "POST {} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        "Content-Length: {}\r\nConnection: close\r\n{}\r\n{}",
        path, body.size(), more_headers, body);
}

/// The status of an answer; 0 for none.
inline int status_of(std::string_view answer) {
    return answer.starts_with("HTTP/1.1 ") ? std::atoi(answer.data() + 9) : 0;
}

inline std::string body_of(const std::string& answer) {
    const std::size_t end = answer.find("\r\n\r\n");
    return end == std::string::npos ? "" : answer.substr(end + 4);
}

}  // namespace plasticity::test
